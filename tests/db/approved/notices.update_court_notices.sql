-- @P1 NVARCHAR(max)
SELECT ocms_valid_offence_notice.notice_no, ocms_offence_notice_detail.notice_no AS has_detail, ocms_valid_offence_notice.atoms_flag, ocms_valid_offence_notice.amount_payable, ocms_offence_notice_detail.last_eburar_update
FROM (SELECT notice_no FROM OPENJSON(@P1) WITH (notice_no VARCHAR(50) '$')) AS asked JOIN ocms_valid_offence_notice WITH (UPDLOCK) ON ocms_valid_offence_notice.notice_no = (asked.notice_no COLLATE DATABASE_DEFAULT) AND CAST(ocms_valid_offence_notice.notice_no AS VARBINARY(50)) = CAST(asked.notice_no AS VARBINARY(50)) LEFT OUTER JOIN ocms_offence_notice_detail WITH (UPDLOCK) ON ocms_offence_notice_detail.notice_no = (asked.notice_no COLLATE DATABASE_DEFAULT) AND CAST(ocms_offence_notice_detail.notice_no AS VARBINARY(50)) = CAST(asked.notice_no AS VARBINARY(50));

IF @@TRANCOUNT = 0 BEGIN TRANSACTION;

SAVE TRANSACTION sa_savepoint_1;

-- @P1 DATETIME2(7)
-- @P2 VARCHAR(6)
-- @P3 NVARCHAR(max)
UPDATE ocms_valid_offence_notice SET amount_payable=given.amount_payable, atoms_flag=given.atoms_flag, upd_date=@P1, upd_user_id=@P2 FROM ocms_valid_offence_notice, (SELECT * FROM OPENJSON(@P3) WITH (notice_no VARCHAR(50) '$[0]', atoms_flag VARCHAR(50) '$[1]', amount_payable NUMERIC(10, 2) '$[2]')) AS given WHERE ocms_valid_offence_notice.notice_no = (given.notice_no COLLATE DATABASE_DEFAULT) AND CAST(ocms_valid_offence_notice.notice_no AS VARBINARY(50)) = CAST(given.notice_no AS VARBINARY(50));

-- @P1 DATETIME2(7)
-- @P2 VARCHAR(6)
-- @P3 NVARCHAR(max)
INSERT INTO ocms_offence_notice_detail (notice_no, last_eburar_update, cre_date, cre_user_id) SELECT given.notice_no, given.last_eburar_update, @P1 AS cre_date, @P2 AS cre_user_id
FROM (SELECT * FROM OPENJSON(@P3) WITH (notice_no VARCHAR(50) '$[0]', last_eburar_update VARCHAR(50) '$[1]')) AS given;

COMMIT;
