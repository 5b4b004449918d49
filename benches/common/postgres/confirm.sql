WITH ended AS (
    DELETE FROM hold WHERE id = $1 AND expires_at > now() RETURNING product, units
), sold AS (
    UPDATE stock SET sold = sold + units FROM ended WHERE stock.product = ended.product
)
INSERT INTO audit (kind, hold, product, units) SELECT 2, $1, product, units FROM ended
