IF @@TRANCOUNT = 0 BEGIN TRANSACTION;

SAVE TRANSACTION sa_savepoint_1;

-- @P1 NVARCHAR(max)
SELECT ocms_cas_emcons.notice_no, ocms_cas_emcons.emcons_flag
FROM (SELECT notice_no FROM OPENJSON(@P1) WITH (notice_no VARCHAR(50) '$')) AS asked JOIN ocms_cas_emcons ON ocms_cas_emcons.notice_no = (asked.notice_no COLLATE Latin1_General_BIN2) AND CAST(ocms_cas_emcons.notice_no AS VARBINARY(50)) = CAST(asked.notice_no AS VARBINARY(50));

-- @P1 NVARCHAR(max)
UPDATE ocms_cas_emcons SET emcons_flag=given.emcons_flag, upd_date=given.upd_date, upd_user_id=given.upd_user_id FROM ocms_cas_emcons, (SELECT * FROM OPENJSON(@P1) WITH (notice_no VARCHAR(50) '$.notice_no', emcons_flag VARCHAR(50) '$.emcons_flag', upd_date DATETIME2(6) '$.upd_date', upd_user_id VARCHAR(50) '$.upd_user_id')) AS given WHERE ocms_cas_emcons.notice_no = (given.notice_no COLLATE Latin1_General_BIN2) AND CAST(ocms_cas_emcons.notice_no AS VARBINARY(50)) = CAST(given.notice_no AS VARBINARY(50));

-- @P1 NVARCHAR(max)
INSERT INTO ocms_cas_emcons (notice_no, emcons_flag, cre_date, cre_user_id) SELECT given.notice_no, given.emcons_flag, given.cre_date, given.cre_user_id
FROM (SELECT * FROM OPENJSON(@P1) WITH (notice_no VARCHAR(50) '$.notice_no', emcons_flag VARCHAR(50) '$.emcons_flag', cre_date DATETIME2(6) '$.cre_date', cre_user_id VARCHAR(50) '$.cre_user_id')) AS given
WHERE NOT (EXISTS (SELECT *
FROM ocms_cas_emcons
WHERE ocms_cas_emcons.notice_no = (given.notice_no COLLATE Latin1_General_BIN2) AND CAST(ocms_cas_emcons.notice_no AS VARBINARY(50)) = CAST(given.notice_no AS VARBINARY(50))));

COMMIT;
