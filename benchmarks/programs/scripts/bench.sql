-- SPDX-License-Identifier: GPL-2.0-only
-- Inserting into a table with an index, then queries with joins, groups and sorting.
CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT, kind INTEGER, price REAL);
CREATE INDEX item_name ON item (name);
BEGIN;
INSERT INTO item
  WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
  SELECT i, printf('item-%05d', (i * 7919) % 20011), i % 17, (i * 31 % 1000) / 8.0 FROM n;
COMMIT;
SELECT kind, count(*), sum(price), min(name), max(name) FROM item GROUP BY kind ORDER BY 3 DESC;
SELECT count(*) FROM item a JOIN item b ON b.name = printf('item-%05d', a.id) WHERE a.kind = 3;
UPDATE item SET price = price * 1.5 WHERE name LIKE 'item-1%';
DELETE FROM item WHERE id % 5 = 0;
SELECT name, price FROM item ORDER BY price DESC, name LIMIT 20;
SELECT count(*), total(price) FROM item;
