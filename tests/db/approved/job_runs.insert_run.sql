-- @P1 VARCHAR(40)
-- @P2 DATETIME2(7)
-- @P3 VARCHAR(14)
-- @P4 DATETIME2(7)
-- @P5 VARCHAR(2)
INSERT INTO ocms_job_run (job, started, outcome, due, host) OUTPUT inserted.run_id VALUES (@P1, @P2, @P3, @P4, @P5);

COMMIT;
