/**
 * The driver with the real `modal` library and real processes, against a stand-in for the service; modal-stand-in.ts
 * says what that does not prove.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { DeleteAnswer, SandboxAnswer, SandboxList, SnapshotAnswer } from "@valet/shared/protocol/sandbox-broker";
import { Status } from "nice-grpc";
import { afterAll, afterEach, beforeAll, expect, onTestFinished, test, vi } from "vitest";
import {
  createRequest,
  ENTRYPOINT,
  processesWith,
  SECRET,
  STAY,
  testBroker,
  uniqueSleep,
  waitFor,
} from "../../test/broker.ts";
import { BASE_IMAGE, type ModalStandIn, startModalStandIn } from "../../test/modal-stand-in.ts";
import { startModalBroker } from "../index.ts";

let standIn: ModalStandIn;
beforeAll(async () => {
  standIn = await startModalStandIn();
  vi.stubEnv("MODAL_SERVER_URL", standIn.url);
  vi.stubEnv("MODAL_CONFIG_PATH", "/nonexistent");
  vi.stubEnv("MODAL_LOGLEVEL", "error");
});
afterEach(() => {
  for (const { process } of standIn.sandboxes.values()) process.kill("SIGTERM");
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await standIn.close();
});

const RESTART = { limit: 2, delayMs: 5, maxDelayMs: 20, stableMs: 60_000 };

async function startBroker(more: { image?: string } = {}) {
  const errors: Error[] = [];
  const broker = await startModalBroker({
    secret: SECRET,
    entrypoint: ENTRYPOINT,
    restart: RESTART,
    app: "valet-test",
    image: BASE_IMAGE,
    tokenId: "ak-dummy",
    tokenSecret: "as-dummy",
    onError: (error: Error) => errors.push(error),
    ...more,
  });
  onTestFinished(() => broker.close());
  return { ...testBroker(broker.url, ""), errors, close: () => broker.close() };
}

const sandboxOf = (id: string) => {
  const found = standIn.sandboxes.get(id);
  if (found === undefined) throw new Error(`no sandbox ${id}`);
  return found;
};
const file = (id: string, name: string) => readFileSync(join(sandboxOf(id).folder, name), "utf8");
const linesOf = (id: string, name: string) => file(id, name).trimEnd().split("\n");
const runningOf = (session: string) =>
  [...standIn.sandboxes.values()].filter(
    ({ result, tags }) => result === undefined && tags.some(({ tagValue }) => tagValue === session),
  );

test("sandboxes are created, read, listed, snapshotted, terminated and restored with their files", async () => {
  const broker = await startBroker();
  const script = `echo kept > work.txt; ${STAY}`;
  const created = await broker.call("POST", "/v1/sandboxes", createRequest("m1", script));
  expect(created.status).toBe(201);
  const { sandbox } = SandboxAnswer.strict().parse(created.body);
  expect(sandbox).toMatchObject({ sessionId: "m1", generation: 1, state: "running", driver: "modal" });
  expect((await broker.call("GET", `/v1/sandboxes/${sandbox.id}`)).body).toEqual({ sandbox });
  const list = await broker.call("GET", "/v1/sandboxes?sessionId=m1");
  expect(SandboxList.strict().parse(list.body)).toEqual({ sandboxes: [sandbox] });
  await waitFor(() => existsSync(join(sandboxOf(sandbox.id).folder, "work.txt")));

  const taken = await broker.call("POST", `/v1/sandboxes/${sandbox.id}/snapshot`);
  expect(taken.status).toBe(201);
  const { snapshotId } = SnapshotAnswer.strict().parse(taken.body);
  const unheard = (await broker.call("POST", `/v1/sandboxes/${sandbox.id}/snapshot`)).body.snapshotId;
  const deleted = await broker.call("DELETE", `/v1/sandboxes/${sandbox.id}?keeps=${snapshotId}`);
  expect((await broker.call("DELETE", `/v1/snapshots/${unheard}`)).body).toEqual({ alreadyGone: true });
  expect(DeleteAnswer.strict().parse(deleted.body)).toEqual({ alreadyGone: false });
  expect(sandboxOf(sandbox.id).result).toBeDefined();
  expect((await broker.call("DELETE", `/v1/sandboxes/${sandbox.id}`)).body).toEqual({ alreadyGone: true });
  expect((await broker.call("GET", `/v1/sandboxes/${sandbox.id}`)).status).toBe(404);
  expect((await broker.call("GET", "/v1/sandboxes?sessionId=m1")).body).toEqual({ sandboxes: [] });

  const restored = await broker.create("m1", STAY, { generation: 2, snapshotId });
  expect(restored).toMatchObject({ generation: 2, snapshotId });
  expect(file(restored.id, "work.txt")).toBe("kept\n");
  expect((await broker.call("DELETE", `/v1/snapshots/${snapshotId}`)).body).toEqual({ alreadyGone: false });
  expect((await broker.call("DELETE", `/v1/snapshots/${snapshotId}`)).body).toEqual({ alreadyGone: true });
  const missing = await broker.call("POST", "/v1/sandboxes", createRequest("m1", STAY, { generation: 3, snapshotId }));
  expect(missing).toMatchObject({ status: 404, body: { code: "not_found" } });
});

test("the token and the sandbox's id reach the entrypoint by standard input, and no environment, argument or tag holds the token", async () => {
  const broker = await startBroker();
  const runnerToken = String.raw`to"k\e'n$(x)%d`;
  const script = `tr "\\0" "\\n" < /proc/self/environ > env.txt; ${STAY}`;
  const { id } = await broker.create("m2", script, { runnerToken });
  await waitFor(() => existsSync(join(sandboxOf(id).folder, "env.txt")) && file(id, "env.txt").includes("PWD="));
  expect(linesOf(id, "inputs.jsonl").map((line) => JSON.parse(line))).toEqual([
    { token: runnerToken, restartCount: 0 },
  ]);
  expect(linesOf(id, "env.txt")).toEqual(
    expect.arrayContaining(["VALET_WORKSPACE=/workspace", `VALET_SANDBOX_ID=${id}`]),
  );
  const { env, command, tags, process } = sandboxOf(id);
  const seen = [env, command, tags, file(id, "env.txt"), readFileSync(`/proc/${process.pid}/environ`, "utf8")];
  expect(JSON.stringify(seen)).not.toContain(JSON.stringify(runnerToken).slice(1, -1));
  expect(JSON.stringify(seen)).not.toContain(`to\\"k`);
});

test("are created once per generation, also by two brokers at once; a newer generation ends the older one, which is then refused", async () => {
  const [one, other] = await Promise.all([startBroker(), startBroker()]);
  const request = (more = {}) => createRequest("m3", STAY, more);
  const answers = await Promise.all([one, one, other].map((each) => each.call("POST", "/v1/sandboxes", request())));
  expect(answers.map(({ status }) => status)).toEqual([201, 201, 201]);
  expect(new Set(answers.map(({ body }) => body.sandbox.id)).size).toBe(1);
  expect(runningOf("m3")).toHaveLength(1);
  const changed = await other.call("POST", "/v1/sandboxes", request({ runnerToken: "another" }));
  expect(changed).toMatchObject({ status: 409, body: { code: "generation_conflict" } });

  const { id } = await other.create("m3", STAY, { generation: 2 });
  expect(runningOf("m3").map((each) => each.id)).toEqual([id]);
  expect(await one.call("POST", "/v1/sandboxes", request())).toMatchObject({
    status: 409,
    body: { code: "stale_generation" },
  });
});

test("a dead entrypoint is restarted with the same token, after its remaining processes have ended, until its exit code is final", async () => {
  const broker = await startBroker();
  const left = uniqueSleep();
  // The second start exits with a final code.
  const script = `[ -e once ] && { ls > seen; exit 77; }; touch once; setsid ${left} & exit 3`;
  const { id } = await broker.create("m4", script);
  await sandboxOf(id).exited;
  expect(sandboxOf(id).result).toEqual({ status: 2, exitcode: 77 });
  expect(processesWith(left)).toEqual([]);
  expect(linesOf(id, "inputs.jsonl").map((line) => JSON.parse(line))).toEqual([
    { token: "token-of-the-runner", restartCount: 0 },
    { token: "token-of-the-runner", restartCount: 1 },
  ]);
  const gone = { status: 409, body: { code: "sandbox_gone" } };
  expect(await broker.call("POST", `/v1/sandboxes/${id}/snapshot`)).toMatchObject(gone);
});

test("an entrypoint that dies too often is not restarted any more", async () => {
  const broker = await startBroker();
  const { id } = await broker.create("m5", "exit 9");
  await sandboxOf(id).exited;
  expect(linesOf(id, "inputs.jsonl")).toHaveLength(1 + RESTART.limit);
  expect((await broker.call("GET", `/v1/sandboxes/${id}`)).status).toBe(404);
});

test("the next broker finds running sandboxes, ends older generations, and leaves other apps' sandboxes alone", async () => {
  const first = await startBroker();
  const kept = await first.create("m6", STAY);
  await first.close();
  expect(sandboxOf(kept.id).result).toBeUndefined();
  const second = await startBroker();
  expect((await second.call("GET", "/v1/sandboxes?sessionId=m6")).body).toEqual({ sandboxes: [kept] });
  // The state after a broker died between creating the new sandbox and ending the old one: a session with two
  // sandboxes.
  const newer = await second.create("m7", STAY, { generation: 2 });
  const tag = sandboxOf(newer.id).tags.find(({ tagName }) => tagName === "valet-session");
  if (tag === undefined) throw new Error("no tag");
  tag.tagValue = "m6";
  await second.close();
  const third = await startBroker();
  expect(runningOf("m6").map(({ id }) => id)).toEqual([newer.id]);

  const { tags } = sandboxOf(newer.id);
  tags.length = 0;
  expect((await third.call("DELETE", `/v1/sandboxes/${newer.id}`)).body).toEqual({ alreadyGone: true });
  expect(sandboxOf(newer.id).result).toBeUndefined();
});

test("a refusal by Modal is reported without Modal's text, and nothing is left of a sandbox that was not started", async () => {
  const broker = await startBroker();
  const create = () => broker.call("POST", "/v1/sandboxes", createRequest("m8", STAY));
  standIn.failOnce("sandboxCreateV2", Status.PERMISSION_DENIED);
  const refused = await create();
  expect(refused).toMatchObject({
    status: 500,
    body: { code: "start_failed", detail: "Modal answered PERMISSION_DENIED" },
  });
  standIn.failOnce("sandboxStdinWriteV2", Status.PERMISSION_DENIED);
  expect(await create()).toMatchObject({ status: 500, body: { code: "start_failed" } });
  expect(runningOf("m8")).toEqual([]);
  const { id } = (await create()).body.sandbox;
  standIn.failOnce("taskSnapshotFilesystem", Status.PERMISSION_DENIED);
  const failed = await broker.call("POST", `/v1/sandboxes/${id}/snapshot`);
  expect(failed).toMatchObject({ status: 500, body: { code: "snapshot_failed" } });
  expect(JSON.stringify([refused.body, failed.body])).not.toContain("secret-of-the-service");
  await expect(startBroker({ image: "im-none" })).rejects.toThrow("Modal cannot be used");
});

test("a sandbox whose creation was not acknowledged is adopted by the call that created it", async () => {
  const broker = await startBroker();
  standIn.loseAnswerOnce("sandboxCreateV2");
  const { id } = await broker.create("m10", STAY);
  expect(runningOf("m10").map((each) => each.id)).toEqual([id]);
  await waitFor(() => file(id, "inputs.jsonl").includes("token-of-the-runner"));
});

test("each call returns its spans, below the caller's", async () => {
  const broker = await startBroker();
  const traced = { traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" };
  const namesOf = ({ body }: { body: { spans: string } }) =>
    JSON.parse(body.spans).resourceSpans[0].scopeSpans[0].spans.map(({ name }: { name: string }) => name);
  const created = await broker.call("POST", "/v1/sandboxes", createRequest("m9", STAY), traced);
  const path = `/v1/sandboxes/${created.body.sandbox.id}`;
  const taken = await broker.call("POST", `${path}/snapshot`, undefined, traced);
  const ended = await broker.call("DELETE", path, undefined, traced);
  const deleted = await broker.call("DELETE", `/v1/snapshots/${taken.body.snapshotId}`, undefined, traced);
  expect([created, taken, ended, deleted].map(namesOf)).toEqual([
    ["valet.sandbox.prepare", "valet.sandbox.process_start", "POST /v1/sandboxes"],
    ["valet.sandbox.commit", "POST /v1/sandboxes/:id/snapshot"],
    ["valet.sandbox.process_stop", "DELETE /v1/sandboxes/:id"],
    ["valet.sandbox.remove", "DELETE /v1/snapshots/:id"],
  ]);
});
