// Calls every outcome with a client that is generated from the contract; tsc checks the types, the asserts the answers.
import assert from "node:assert/strict";
import createClient from "openapi-fetch";
import type { components, paths } from "./ocms.js";

const [url, closed, casKey, plusKey] = process.argv.slice(2);
const as = (key: string, baseUrl = url) => createClient<paths>({ baseUrl, headers: { "X-API-Key": key } });
const cas = as(casKey!);
const plus = as(plusKey!);
const nobody = as("none");
const body = { notice_nos: ["541000002E", "540000000N"] };

// API 1
const statuses = await cas.POST("/v1/getPaymentStatus", { body, params: { query: { limit: 10, filter: ["FP"] } } });
assert.equal(statuses.response.status, 200);
const items: components["schemas"]["PaymentStatus"][] = statuses.data!.data;
assert.equal(items[0]!.amount_payable, 120);
assert.equal(items[1]!.error?.appCode satisfies "OCMS-4004" | "OCMS-5000" | undefined, "OCMS-4004");
const badPage = await cas.POST("/v1/getPaymentStatus", { body, params: { query: { limit: 0 } } });
assert.equal(badPage.response.status, 400);
assert.equal(badPage.error!.data.errors[0]!.field, "limit");
assert.equal((await plus.POST("/v1/getPaymentStatus", { body })).error!.data.appCode, "OCMS-4003");
assert.equal((await nobody.POST("/v1/getPaymentStatus", { body })).error!.data.appCode, "OCMS-4001");

// API 2
const good: components["schemas"]["CourtNotice"] = { notice_no: "541000001D", amount_payable: 185.5, atoms_flag: null };
const unknown: components["schemas"]["CourtNotice"] = { notice_no: "540000000N", suspension_type: "TS" };
const early = await as(casKey!, closed).POST("/v1/updateCourtNotices", { body: [good] });
assert.equal(early.response.status, 409);
assert.equal(early.error!.data.appCode, "OCMS-4009");
const accepted = await cas.POST("/v1/updateCourtNotices", { body: [good] });
assert.equal(accepted.response.status, 200);
const partial = await cas.POST("/v1/updateCourtNotices", { body: [good, unknown] });
assert.equal(partial.response.status, 207);
const some = partial.data!.data;
assert("failed" in some);
assert.equal(some.failed[0]!.notice_no, "540000000N");
const rejected = await cas.POST("/v1/updateCourtNotices", { body: [unknown] });
assert.equal(rejected.response.status, 422);
assert.equal(rejected.error!.data.appCode, "OCMS-4022");
assert.equal((await cas.POST("/v1/updateCourtNotices", { body: [] })).error!.data.appCode, "OCMS-4000");
assert.equal((await plus.POST("/v1/updateCourtNotices", { body: [good] })).error!.data.appCode, "OCMS-4003");
assert.equal((await nobody.POST("/v1/updateCourtNotices", { body: [good] })).error!.data.appCode, "OCMS-4001");

// API 4
const due = await plus.POST("/v1/getNoticeUpdate", { body: { notice_nos: ["541000004G", "541000003F"] } });
assert.equal(due.response.status, 200);
const when: string | null = due.data!.data[0]!.court_payment_due_date;
assert.equal(when, "2026-07-31T23:59:59+08:00");
assert.equal(due.data!.data[1]!.suspension_type, undefined);
const missing = await plus.POST("/v1/getNoticeUpdate", { body });
assert.equal(missing.response.status, 404);
const absent = missing.error!.data;
assert("notice_nos" in absent);
assert.deepEqual(absent.notice_nos, ["540000000N"]);
assert.equal((await plus.POST("/v1/getNoticeUpdate", { body: { notice_nos: [] } })).error!.data.appCode, "OCMS-4000");
assert.equal((await cas.POST("/v1/getNoticeUpdate", { body })).error!.data.appCode, "OCMS-4003");
assert.equal((await nobody.POST("/v1/getNoticeUpdate", { body })).error!.data.appCode, "OCMS-4001");

console.log("all outcomes as the types say");
