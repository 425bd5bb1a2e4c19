DROP TABLE IF EXISTS #ocms_vip_vehicle_staging;

CREATE TABLE #ocms_vip_vehicle_staging (vip_vehicle VARCHAR(255) COLLATE Latin1_General_BIN2 NULL, vehicle_no VARCHAR(50) COLLATE DATABASE_DEFAULT NULL, description VARCHAR(255) COLLATE DATABASE_DEFAULT NULL, status VARCHAR(50) COLLATE DATABASE_DEFAULT NULL);

-- @P1 NVARCHAR(max)
INSERT INTO [#ocms_vip_vehicle_staging] (vip_vehicle, vehicle_no, description, status) SELECT given.vip_vehicle, given.vehicle_no, given.description, given.status
FROM (SELECT * FROM OPENJSON(@P1) WITH (vip_vehicle VARCHAR(255) '$[0]', vehicle_no VARCHAR(50) '$[1]', description VARCHAR(255) '$[2]', status VARCHAR(50) '$[3]')) AS given;

-- @P1 INT4
SELECT count(*) AS count_1
FROM (SELECT [#ocms_vip_vehicle_staging].vip_vehicle AS vip_vehicle
FROM [#ocms_vip_vehicle_staging] GROUP BY [#ocms_vip_vehicle_staging].vip_vehicle
HAVING count(*) > @P1) AS anon_1;

-- @P1 INT4
SELECT TOP 3 [#ocms_vip_vehicle_staging].vip_vehicle
FROM [#ocms_vip_vehicle_staging] GROUP BY [#ocms_vip_vehicle_staging].vip_vehicle
HAVING count(*) > @P1 ORDER BY [#ocms_vip_vehicle_staging].vip_vehicle;

-- @P1 INT4
-- @P2 INT4
SELECT count(*) AS count_1, sum(kept.changed) AS sum_1
FROM (SELECT CASE WHEN (NOT EXISTS (SELECT CAST(ocms_vip_vehicle.vehicle_no AS VARBINARY(50)) INTERSECT SELECT CAST([#ocms_vip_vehicle_staging].vehicle_no AS VARBINARY(50))) OR NOT EXISTS (SELECT CAST(ocms_vip_vehicle.description AS VARBINARY(255)) INTERSECT SELECT CAST([#ocms_vip_vehicle_staging].description AS VARBINARY(255))) OR NOT EXISTS (SELECT CAST(ocms_vip_vehicle.status AS VARBINARY(50)) INTERSECT SELECT CAST([#ocms_vip_vehicle_staging].status AS VARBINARY(50)))) THEN @P1 ELSE @P2 END AS changed
FROM [#ocms_vip_vehicle_staging] JOIN ocms_vip_vehicle ON ocms_vip_vehicle.vip_vehicle = [#ocms_vip_vehicle_staging].vip_vehicle) AS kept;

SELECT count(*) AS count_1
FROM ocms_vip_vehicle;

SELECT count(*) AS count_1
FROM [#ocms_vip_vehicle_staging];

COMMIT;

TRUNCATE TABLE ocms_vip_vehicle;

-- @P1 DATETIME2(7)
-- @P2 VARCHAR(6)
INSERT INTO ocms_vip_vehicle WITH (TABLOCK) (vip_vehicle, vehicle_no, description, status, cre_date, cre_user_id) SELECT [#ocms_vip_vehicle_staging].vip_vehicle, [#ocms_vip_vehicle_staging].vehicle_no, [#ocms_vip_vehicle_staging].description, [#ocms_vip_vehicle_staging].status, @P1 AS cre_date, @P2 AS cre_user_id
FROM [#ocms_vip_vehicle_staging];

SELECT count(*) AS count_1
FROM ocms_vip_vehicle;

COMMIT;
