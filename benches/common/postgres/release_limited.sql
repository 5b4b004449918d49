-- The customer's row before the stock's, as in the reserve, so that no two of them wait for each other.
-- A customer who has nothing keeps the row: an update on the row's own page costs less than to delete
-- it and insert it anew.
WITH ended AS (
    DELETE FROM hold WHERE id = $1 RETURNING product, units, customer
), undrawn AS (
    UPDATE customer_limit SET used = used - units
    FROM ended WHERE customer_limit.customer = ended.customer AND rule = 1
    RETURNING product, units
), given AS (
    UPDATE stock SET available = available + units, reserved = reserved - units
    FROM undrawn WHERE stock.product = undrawn.product
    RETURNING stock.product, units
)
INSERT INTO audit (kind, hold, product, units) SELECT 3, $1, product, units FROM given
