IF @@TRANCOUNT = 0 BEGIN TRANSACTION;

SAVE TRANSACTION sa_savepoint_1;

-- @P1 NVARCHAR(max)
SELECT ocms_cas_emcons.notice_no, ocms_cas_emcons.emcons_flag
FROM (SELECT notice_no FROM OPENJSON(@P1) WITH (notice_no VARCHAR(50) '$')) AS asked JOIN ocms_cas_emcons ON ocms_cas_emcons.notice_no = (asked.notice_no COLLATE Latin1_General_BIN2) AND CAST(ocms_cas_emcons.notice_no AS VARBINARY(50)) = CAST(asked.notice_no AS VARBINARY(50));

-- @P1 DATETIME2(7)
-- @P2 VARCHAR(6)
-- @P3 NVARCHAR(max)
UPDATE ocms_cas_emcons SET emcons_flag=given.emcons_flag, upd_date=@P1, upd_user_id=@P2 FROM ocms_cas_emcons, (SELECT * FROM OPENJSON(@P3) WITH (notice_no VARCHAR(50) '$[0]', emcons_flag VARCHAR(50) '$[1]')) AS given WHERE ocms_cas_emcons.notice_no = (given.notice_no COLLATE Latin1_General_BIN2) AND CAST(ocms_cas_emcons.notice_no AS VARBINARY(50)) = CAST(given.notice_no AS VARBINARY(50));

-- @P1 DATETIME2(7)
-- @P2 VARCHAR(6)
-- @P3 NVARCHAR(max)
INSERT INTO ocms_cas_emcons (notice_no, emcons_flag, cre_date, cre_user_id) SELECT given.notice_no, given.emcons_flag, @P1 AS cre_date, @P2 AS cre_user_id
FROM (SELECT * FROM OPENJSON(@P3) WITH (notice_no VARCHAR(50) '$[0]', emcons_flag VARCHAR(50) '$[1]')) AS given
WHERE NOT (EXISTS (SELECT *
FROM ocms_cas_emcons
WHERE ocms_cas_emcons.notice_no = (given.notice_no COLLATE Latin1_General_BIN2) AND CAST(ocms_cas_emcons.notice_no AS VARBINARY(50)) = CAST(given.notice_no AS VARBINARY(50))));

COMMIT;
