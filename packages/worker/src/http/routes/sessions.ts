import { createRoute } from "@hono/zod-openapi";
import { apiProblem } from "@valet/shared/protocol/api-problems";
import { shownRepoUrl } from "@valet/shared/protocol/repo-url";
import {
  CreateSession,
  FamilyView,
  isFileUrl,
  MAX_PAGE,
  SessionList,
  SessionsQuery,
} from "@valet/shared/protocol/session-api";
import { SessionView } from "@valet/shared/protocol/session-view";
import { searchWords } from "@valet/shared/search-words";
import { type Env, stubOf } from "../../bindings.ts";
import { allowsFileRepos } from "../../config.ts";
import { findSession } from "../../database/deleted-sessions.ts";
import { readFamily } from "../../database/family.ts";
import { listSessions, ownsSession, searchSessions, upsertSession } from "../../database/sessions.ts";
import type { NewSession } from "../../durable-objects/contract.ts";
import { cursorOf } from "../../durable-objects/core/cursor.ts";
import { hashToken, newId } from "../../durable-objects/core/ids.ts";
import { fillPage } from "../../durable-objects/core/page-bytes.ts";
import { logFailure } from "../../log-failure.ts";
import { findUseless } from "../../preflight/useless.ts";
import { type AppContext, agentOf, callContext, change, createRoutes, requestChange, speakFor } from "../context.ts";
import { decodeCursor } from "../cursor.ts";
import { refuseDeleted } from "../middleware.ts";
import { answer, body, PROBLEM, SESSION_PATH, SessionParams } from "../openapi.ts";
import { problem, unwrap } from "../problem.ts";

export const sessions = createRoutes();

/** In cursors. */
const LIST = "sessions";

const ID_TAKEN = apiProblem("id-taken").type;

sessions.openapi(
  createRoute({
    method: "post",
    path: "/api/sessions",
    operationId: "createSession",
    summary: "Creates a session and starts its sandbox",
    description:
      "Refused (400) where it could not work: a model whose provider has no key here, or that the deployment's own endpoint does not " +
      "have; a repository that its https host says does not exist, or needs other credentials; a branch that it does not have; a " +
      "`file:` repository that the sandboxes' machine does not have, or that lacks the branch. A host " +
      "that is away, slow or in a private network refuses nothing: the start of the sandbox shows it.",
    request: {
      body: body(CreateSession, { repoUrl: "https://github.com/acme/shop.git", prompt: "Why does the build fail?" }),
    },
    responses: { 201: answer(SessionView, "The session"), default: PROBLEM },
  }),
  async (c) => {
    const input = c.req.valid("json");
    speakFor(c, input);
    const wasCreated = input.id !== undefined && (await isOwn(c, input.id));
    if (!wasCreated) {
      await checkReferences(c.env, input, c.var.ownerId);
      await refuseUseless(c.env, input);
    }
    const id = input.id ?? newId("ses");
    const agent = stubOf(c.env, id);
    c.var.trace?.describeSession(id);
    const origin = input.id === undefined ? { isNewId: true as const } : { digest: digestOf(input) };
    const view = await create(c, { ...input, id, ...origin }, wasCreated);
    c.set("agent", agent);
    await project(c.env.DB, c.var.ownerId, view);
    return c.json(view, 201, { location: `/api/sessions/${id}` });
  },
);

sessions.openapi(
  createRoute({
    method: "get",
    path: "/api/sessions",
    operationId: "listSessions",
    summary: "Lists your sessions, newest first",
    description:
      "The list may lag a moment behind; a session's own URL shows its current state. With `q`, a page looks at 1000 sessions: it may have " +
      "few or none although others follow, so read on until there is no `nextCursor`.",
    request: { query: SessionsQuery },
    responses: { 200: answer(SessionList, "A page of sessions"), default: PROBLEM },
  }),
  async (c) => {
    const { cursor, limit = MAX_PAGE, parentSessionId, exportProblem, q } = c.req.valid("query");
    const [createdAt, after] = cursor === undefined ? [] : decodeCursor(LIST, cursor, 2);
    const before = createdAt === undefined || after === undefined ? undefined : { createdAt, id: after };
    const filter = { before, parentSessionId, hasExportProblem: exportProblem !== undefined };
    const words = searchWords(q ?? "");
    if (words.length > 0) {
      const { sessions, next } = await searchSessions(c.env.DB, c.var.ownerId, words, limit, filter);
      return c.json({ sessions, ...(next && { nextCursor: cursorOf(LIST, next.createdAt, next.id) }) }, 200);
    }
    // One item more than requested shows whether there is a next page.
    const found = await listSessions(c.env.DB, c.var.ownerId, limit + 1, filter);
    const page = fillPage(found.slice(0, limit), (view) => view);
    const last = page.at(-1);
    const isLast = found.length === page.length || last === undefined;
    return c.json({ sessions: page, ...(!isLast && { nextCursor: cursorOf(LIST, last.createdAt, last.id) }) }, 200);
  },
);

sessions.openapi(
  createRoute({
    method: "get",
    path: SESSION_PATH,
    operationId: "getSession",
    summary: "Shows a session",
    request: { params: SessionParams },
    responses: { 200: answer(SessionView, "The session"), default: PROBLEM },
  }),
  async (c) => c.json(unwrap(await agentOf(c).view()), 200),
);

sessions.openapi(
  createRoute({
    method: "get",
    path: `${SESSION_PATH}/family`,
    operationId: "getFamily",
    summary: "Shows a session and its descendants, with their costs",
    description: "The list may lag a moment behind.",
    request: { params: SessionParams },
    responses: { 200: answer(FamilyView, "The family"), default: PROBLEM },
  }),
  async (c) => {
    const family = await readFamily(c.env.DB, c.req.valid("param").id, c.var.ownerId);
    if (family === undefined) throw problem("session-not-found");
    return c.json(family, 200);
  },
);

/** Whether the caller has a session of this id. @throws ApiError if the id is that of a deleted session, or of somebody else's */
async function isOwn(c: AppContext, id: string): Promise<boolean> {
  const known = await findSession(c.env.DB, id);
  if (known === undefined) return false;
  if (known.ownerId !== c.var.ownerId) throw problem("session-exists", { detail: "Use a new id." });
  refuseDeleted(known);
  return true;
}

/** Returns a digest of what is asked for. The password of a repository is not part of it: a digest would help to guess it. */
function digestOf({ repoUrl, ...input }: CreateSession): string {
  const asked = { ...input, repoUrl: repoUrl === undefined ? undefined : shownRepoUrl(repoUrl) };
  return hashToken(JSON.stringify(Object.entries(asked).sort(([a], [b]) => (a < b ? -1 : 1))));
}

/** Creates the session, as a child if it has a parent, unless it exists. */
async function create(c: AppContext, input: NewSession, exists: boolean): Promise<SessionView> {
  const { id, parentSessionId } = input;
  const agent = stubOf(c.env, id);
  if (parentSessionId === undefined || exists) return change(c, 201, (ctx) => agent.create(input, ctx));
  const ctx = callContext(c);
  const parent = stubOf(c.env, parentSessionId);
  const origin = unwrap(await parent.adoptChild(id, ctx));
  const created = await requestChange(c, 201, (own) => agent.create({ ...input, origin }, own));
  // If the id is taken, the parent may have a child of this id.
  if (!created.ok && created.problem.type !== ID_TAKEN) await parent.releaseChild(id, ctx);
  return unwrap(created);
}

/** Checks what a schema cannot: whether `file:` is allowed here, and whether the caller owns the parent. */
async function checkReferences(env: Env, { repoUrl, parentSessionId }: CreateSession, ownerId: string): Promise<void> {
  if (repoUrl !== undefined && isFileUrl(repoUrl) && !allowsFileRepos(env)) {
    throw refused("repoUrl", "must be an https or ssh URL of a git repository: sandboxes run on another machine");
  }
  if (parentSessionId !== undefined && !(await ownsSession(env.DB, parentSessionId, ownerId))) {
    throw refused("parentSessionId", "does not exist");
  }
}

/** Refuses a session whose models or repository cannot work, as far as that can be known before it has a sandbox. */
async function refuseUseless(env: Env, input: CreateSession): Promise<void> {
  const errors = await findUseless(env, input);
  if (errors.length > 0) throw problem("invalid-input", { errors: [...errors] });
}

function refused(path: string, message: string) {
  return problem("invalid-input", { errors: [{ path, message }] });
}

/**
 * Adds the new session to the list, under its owner, before the caller learns its id. The session projects every change
 * itself, this one too, so a failure of D1 only delays it.
 */
async function project(db: D1Database, ownerId: string, view: SessionView): Promise<void> {
  try {
    await upsertSession(db, { ownerId, version: 0, view }).run();
  } catch (error) {
    logFailure("a session could not be projected yet", error);
  }
}
