-- What there is to look at.
alter role walgate password 'walgate';

create table public.orders (
    id bigint generated always as identity primary key,
    status text not null,
    amount numeric(10, 2)
);
