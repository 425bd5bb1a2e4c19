-- @P1 VARCHAR(40)
-- @P2 DATETIME2(7)
-- @P3 DATETIME2(7)
-- @P4 VARCHAR(12)
-- @P5 VARCHAR(8)
-- @P6 DATETIME2(7)
-- @P7 VARCHAR(12)
-- @P8 VARCHAR(2)
INSERT INTO ocms_job_run (job, started, finished, outcome, detail, due, reason, host) OUTPUT inserted.run_id VALUES (@P1, @P2, @P3, @P4, @P5, @P6, @P7, @P8);

COMMIT;
