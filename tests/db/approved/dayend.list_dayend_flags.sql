SELECT TOP 5 ocms_dayend.business_date, ocms_dayend.dayend_flag
FROM ocms_dayend ORDER BY ocms_dayend.business_date DESC;
