WITH ended AS (
    DELETE FROM hold WHERE id = $1 RETURNING product, units
), given AS (
    UPDATE stock SET available = available + units, reserved = reserved - units
    FROM ended WHERE stock.product = ended.product
)
INSERT INTO audit (kind, hold, product, units) SELECT 3, $1, product, units FROM ended
