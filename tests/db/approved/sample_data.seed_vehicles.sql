DROP TABLE IF EXISTS #ocms_vip_vehicle_staging;

CREATE TABLE #ocms_vip_vehicle_staging (vip_vehicle VARCHAR(255) COLLATE Latin1_General_BIN2 NULL, vehicle_no VARCHAR(50) COLLATE DATABASE_DEFAULT NULL, description VARCHAR(255) COLLATE DATABASE_DEFAULT NULL, status VARCHAR(50) COLLATE DATABASE_DEFAULT NULL);

-- @P1 NVARCHAR(max)
INSERT INTO [#ocms_vip_vehicle_staging] (vip_vehicle, vehicle_no, description, status) SELECT given.vip_vehicle, given.vehicle_no, given.description, given.status
FROM (SELECT * FROM OPENJSON(@P1) WITH (vip_vehicle VARCHAR(255) '$[0]', vehicle_no VARCHAR(50) '$[1]', description VARCHAR(255) '$[2]', status VARCHAR(50) '$[3]')) AS given;

TRUNCATE TABLE ocms_vip_vehicle;

-- @P1 DATETIME2(7)
-- @P2 VARCHAR(18)
INSERT INTO ocms_vip_vehicle WITH (TABLOCK) (vip_vehicle, vehicle_no, description, status, cre_date, cre_user_id) SELECT [#ocms_vip_vehicle_staging].vip_vehicle, [#ocms_vip_vehicle_staging].vehicle_no, [#ocms_vip_vehicle_staging].description, [#ocms_vip_vehicle_staging].status, @P1 AS cre_date, @P2 AS cre_user_id
FROM [#ocms_vip_vehicle_staging];

SELECT count(*) AS count_1
FROM ocms_vip_vehicle;

COMMIT;
