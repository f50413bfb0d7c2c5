-- The maze: a small, lively workload to watch changes with.
--
-- Several agents walk a maze with the right hand on the wall. Each step is an INSERT into
-- maze.agent_actions; an experiment is UPDATEd when it ends; old experiments are DELETEd together
-- with their actions. It runs in any database:
--
--   psql -f sql/maze.sql
--   psql -c 'select maze.tick()'    -- one step of every agent; call it in a loop
--
-- Running it again changes nothing that is there.

create schema if not exists maze;

create table if not exists maze.experiments (
    id          bigint generated always as identity primary key,
    name        text not null,
    width       int not null check (width between 2 and 60),
    height      int not null check (height between 2 and 60),
    agents      int not null check (agents between 1 and 16),
    -- The walls as text, 2 * height + 1 lines of 2 * width + 1 characters: '#' is a wall. Cell
    -- (x, y) is the character at column 2x + 1 of line 2y + 1.
    walls       text not null,
    state       text not null default 'running' check (state in ('running', 'finished')),
    winner      int,
    steps       int not null default 0,
    started_at  timestamptz not null default clock_timestamp(),
    finished_at timestamptz
);

create table if not exists maze.agent_actions (
    id            bigint generated always as identity primary key,
    experiment_id bigint not null references maze.experiments on delete cascade,
    agent         int not null,
    step_number   int not null,
    action_type   text not null check (action_type in ('start', 'move', 'bump')),
    from_x        int not null,
    from_y        int not null,
    to_x          int not null,
    to_y          int not null,
    -- 0 north, 1 east, 2 south, 3 west
    heading       int not null check (heading between 0 and 3),
    success       boolean not null,
    "timestamp"   timestamptz not null default clock_timestamp(),
    unique (experiment_id, agent, step_number)
);

-- A maze without loops: from every cell a passage is broken to the north or to the west, so each
-- cell is reached from the corner (0, 0).
create or replace function maze.build_walls(width int, height int) returns text
language plpgsql volatile as $$
declare
    grid text[];
    line text;
    north boolean;
    x int;
    y int;
begin
    for y in 0 .. 2 * height loop
        line := '';
        for x in 0 .. 2 * width loop
            line := line || case when x % 2 = 1 and y % 2 = 1 then ' ' else '#' end;
        end loop;
        grid := grid || line;
    end loop;
    for y in 0 .. height - 1 loop
        for x in 0 .. width - 1 loop
            continue when x = 0 and y = 0;
            north := case when x = 0 then true when y = 0 then false else random() < 0.5 end;
            if north then
                grid[2 * y + 1] := overlay(grid[2 * y + 1] placing ' ' from 2 * x + 2 for 1);
            else
                grid[2 * y + 2] := overlay(grid[2 * y + 2] placing ' ' from 2 * x + 1 for 1);
            end if;
        end loop;
    end loop;
    return array_to_string(grid, E'\n');
end $$;

create or replace function maze.start_experiment(
    name text, width int default 12, height int default 8, agents int default 3
) returns bigint
language plpgsql volatile as $$
declare
    new_id bigint;
begin
    insert into maze.experiments (name, width, height, agents, walls)
    values (name, width, height, agents, maze.build_walls(width, height))
    returning id into new_id;
    -- Agents start along the bottom, facing different ways; the goal is the corner (0, 0).
    insert into maze.agent_actions
        (experiment_id, agent, step_number, action_type, from_x, from_y, to_x, to_y, heading, success)
    select new_id, a, 0, 'start', x, height - 1, x, height - 1, a % 4, true
    from generate_series(1, agents) a, lateral (select (a * width / agents) - 1 as x) as place;
    return new_id;
end $$;

-- One step of one agent: it tries the passage to its right, then ahead, left, back. Returns whether
-- it has reached the goal.
create or replace function maze.step(experiment maze.experiments, agent_number int) returns boolean
language plpgsql volatile as $$
declare
    last maze.agent_actions;
    lines text[] := string_to_array(experiment.walls, E'\n');
    dx int[] := array[0, 1, 0, -1];
    dy int[] := array[-1, 0, 1, 0];
    way int;
    open boolean;
begin
    select * into last from maze.agent_actions
    where experiment_id = experiment.id and agent = agent_number
    order by step_number desc limit 1;
    -- A bump turns the agent to the left; otherwise it tries its right hand first.
    way := case when last.action_type = 'bump' then (last.heading + 3) % 4
                when last.action_type = 'start' then last.heading
                else (last.heading + 1) % 4 end;
    open := substr(lines[2 * last.to_y + 2 + dy[way + 1]], 2 * last.to_x + 2 + dx[way + 1], 1) = ' ';
    insert into maze.agent_actions
        (experiment_id, agent, step_number, action_type, from_x, from_y, to_x, to_y, heading, success)
    values (experiment.id, agent_number, last.step_number + 1,
            case when open then 'move' else 'bump' end,
            last.to_x, last.to_y,
            last.to_x + case when open then dx[way + 1] else 0 end,
            last.to_y + case when open then dy[way + 1] else 0 end,
            way, open)
    returning * into last;
    return last.to_x = 0 and last.to_y = 0;
end $$;

-- One step of every agent of every running experiment. Keeps `running` experiments going and
-- deletes all but the last `kept` finished ones.
create or replace function maze.tick(running int default 2, kept int default 3) returns void
language plpgsql volatile as $$
declare
    experiment maze.experiments;
    agent_number int;
begin
    for experiment in select * from maze.experiments where state = 'running' order by id loop
        for agent_number in 1 .. experiment.agents loop
            if maze.step(experiment, agent_number) then
                update maze.experiments
                set state = 'finished', winner = agent_number, finished_at = clock_timestamp(),
                    steps = (select count(*) from maze.agent_actions a where a.experiment_id = experiment.id)
                where id = experiment.id;
                exit;
            end if;
        end loop;
    end loop;
    perform maze.start_experiment('maze ' || (random() * 9000 + 1000)::int)
    from generate_series(1, running - (select count(*)::int from maze.experiments where state = 'running'));
    delete from maze.experiments
    where state = 'finished'
      and id not in (select id from maze.experiments where state = 'finished' order by id desc limit kept);
end $$;
