-- The publication walgate, with every table of the schema public whose rows can be told in updates and
-- deletes. A table without a replica identity is left out, with a notice: publishing it would make the
-- application's own updates and deletes of it fail. Run it as the owner of the tables, before the slot is
-- created, and again for new tables:
--
--   psql -f sql/publication.sql
--
-- A slot never sees a publication that is younger than itself.

do $$
declare
    found record;
begin
    if not exists (select from pg_catalog.pg_publication where pubname = 'walgate') then
        create publication walgate with (publish_via_partition_root = true);
    end if;
    for found in
        select c.oid::regclass as name,
               -- A partition's replica identity is its own, and a primary key that is deferrable is none.
               not exists (
                   select from (
                       select c.oid
                       union
                       select tree.relid::oid from pg_catalog.pg_partition_tree(c.oid) as tree
                       where tree.isleaf) as own(oid)
                   join pg_catalog.pg_class as part on part.oid = own.oid and part.relkind in ('r', 'p')
                   where not case part.relreplident
                       when 'f' then true
                       when 'i' then exists (
                           select from pg_catalog.pg_index as i
                           where i.indrelid = part.oid and i.indisreplident and i.indisvalid)
                       when 'd' then exists (
                           select from pg_catalog.pg_index as i
                           where i.indrelid = part.oid and i.indisprimary and i.indisvalid
                             and i.indimmediate)
                       else false
                   end) as has_identity
        from pg_catalog.pg_class as c
        where c.relnamespace = 'public'::regnamespace
          and c.relkind in ('r', 'p') and c.relpersistence = 'p' and not c.relispartition
          and not exists (
              select from pg_catalog.pg_publication_rel as r
              join pg_catalog.pg_publication as p on p.oid = r.prpubid
              where r.prrelid = c.oid and p.pubname = 'walgate')
        order by c.relname
    loop
        if found.has_identity then
            execute format('alter publication walgate add table %s', found.name);
        else
            raise notice '% or a partition of it has no replica identity, and is left out', found.name;
        end if;
    end loop;
end
$$;
