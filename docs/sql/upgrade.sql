-- Run it in the database of OCMS so that it stops at the first error: sqlcmd -b -S HOST -d DATABASE -i upgrade.sql
-- The tables are created in the default schema of the user who runs it.

BEGIN TRANSACTION;

CREATE TABLE ocms_schema_version (
    version_num VARCHAR(32) NOT NULL, 
    CONSTRAINT ocms_schema_version_pkc PRIMARY KEY (version_num)
);

GO

-- Running upgrade  -> 0001

CREATE TABLE ocms_vip_vehicle (
    vip_vehicle VARCHAR(255) COLLATE Latin1_General_BIN2 NOT NULL, 
    vehicle_no VARCHAR(50) NOT NULL, 
    description VARCHAR(255) NULL, 
    status VARCHAR(50) NOT NULL, 
    cre_date DATETIME2(6) NOT NULL, 
    cre_user_id VARCHAR(50) NOT NULL, 
    upd_date DATETIME2(6) NULL, 
    upd_user_id VARCHAR(50) NULL, 
    PRIMARY KEY (vip_vehicle)
);

GO

CREATE TABLE ocms_cas_emcons (
    notice_no VARCHAR(50) COLLATE Latin1_General_BIN2 NOT NULL, 
    emcons_flag VARCHAR(50) NULL, 
    cre_date DATETIME2(6) NOT NULL, 
    cre_user_id VARCHAR(50) NOT NULL, 
    upd_date DATETIME2(6) NULL, 
    upd_user_id VARCHAR(50) NULL, 
    PRIMARY KEY (notice_no)
);

GO

CREATE TABLE ocms_court_case (
    notice_no VARCHAR(50) COLLATE Latin1_General_BIN2 NOT NULL, 
    court_payment_due_date DATETIME2(6) NULL, 
    cre_date DATETIME2(6) NOT NULL, 
    cre_user_id VARCHAR(50) NOT NULL, 
    upd_date DATETIME2(6) NULL, 
    upd_user_id VARCHAR(50) NULL, 
    PRIMARY KEY (notice_no)
);

GO

CREATE TABLE ocms_dayend (
    business_date DATE NOT NULL, 
    dayend_flag CHAR(1) NOT NULL CHECK (dayend_flag IN ('Y', 'N')), 
    PRIMARY KEY (business_date)
);

GO

CREATE TABLE ocms_job_run (
    run_id INTEGER NOT NULL IDENTITY, 
    job VARCHAR(50) NOT NULL, 
    started DATETIME2(6) NOT NULL, 
    finished DATETIME2(6) NULL, 
    outcome VARCHAR(20) NOT NULL, 
    rows INTEGER NULL, 
    detail VARCHAR(500) NULL, 
    PRIMARY KEY (run_id)
);

GO

INSERT INTO ocms_schema_version (version_num) OUTPUT inserted.version_num VALUES ('0001');

GO

-- Running upgrade 0001 -> 0002

ALTER TABLE ocms_job_run ADD due DATETIME2(6) NULL;

GO

ALTER TABLE ocms_job_run ADD reason VARCHAR(50) NULL;

GO

ALTER TABLE ocms_job_run ADD rows_before INTEGER NULL;

GO

ALTER TABLE ocms_job_run ADD added INTEGER NULL;

GO

ALTER TABLE ocms_job_run ADD removed INTEGER NULL;

GO

ALTER TABLE ocms_job_run ADD changed INTEGER NULL;

GO

ALTER TABLE ocms_job_run ADD host VARCHAR(255) NULL;

GO

ALTER TABLE ocms_job_run ADD alerted DATETIME2(6) NULL;

GO

UPDATE ocms_schema_version SET version_num='0002' WHERE ocms_schema_version.version_num = '0001';

GO

COMMIT;

GO

