-- What a shop keeps. What customers have drawn on limits is only used by the statements for limits,
-- and a hold's customer only set by them: where it is null, it takes no room. Room on the stock's
-- pages lets updates stay on their page. {unlogged} is empty, or makes the tables live in memory as
-- far as crashes go.
DROP TABLE IF EXISTS stock, hold, audit, customer_limit;
CREATE {unlogged} TABLE stock (
    product   integer PRIMARY KEY,
    available integer NOT NULL CHECK (available >= 0),
    reserved  integer NOT NULL DEFAULT 0 CHECK (reserved >= 0),
    sold      integer NOT NULL DEFAULT 0
) WITH (fillfactor = 30, autovacuum_vacuum_scale_factor = 0.01);
CREATE {unlogged} TABLE hold (
    id         uuid PRIMARY KEY,
    product    integer NOT NULL,
    units      integer NOT NULL,
    expires_at timestamptz NOT NULL,
    customer   bigint
) WITH (autovacuum_vacuum_scale_factor = 0.01);
CREATE INDEX hold_due ON hold (expires_at);
CREATE {unlogged} TABLE customer_limit (
    customer bigint,
    rule     integer,
    used     integer NOT NULL CHECK (used >= 0),
    PRIMARY KEY (customer, rule)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01);
CREATE {unlogged} TABLE audit (
    sequence bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind     smallint NOT NULL,
    at       timestamptz NOT NULL DEFAULT now(),
    hold     uuid NOT NULL,
    product  integer NOT NULL,
    units    integer NOT NULL
)
