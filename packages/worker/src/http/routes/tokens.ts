/** The owner's own tokens. A token makes others of its owner, never with more rights than it has. */
import { createRoute } from "@hono/zod-openapi";
import { CreatedToken, CreateToken, MAX_TOKENS, TokenId, TokenList } from "@valet/shared/protocol/tokens";
import { z } from "zod";
import { makeToken } from "../../database/setup.ts";
import { addToken, listTokens, removeToken, tokenIdOf } from "../../database/tokens.ts";
import { hashToken } from "../../durable-objects/core/ids.ts";
import { createRoutes, ownToken } from "../context.ts";
import { answer, body, PROBLEM } from "../openapi.ts";
import { problem } from "../problem.ts";

export const tokens = createRoutes();

tokens.openapi(
  createRoute({
    method: "post",
    path: "/api/tokens",
    operationId: "createToken",
    summary: "Makes a token of the same owner; its secret is shown this once",
    description:
      "It has no more rights than the token of the request: it expires no later, and speaks for others only if that does (403 " +
      `otherwise). Without \`expiresAt\` it expires when that does. An owner has at most ${MAX_TOKENS} tokens (409).`,
    request: { body: body(CreateToken, { name: "laptop", expiresAt: "2027-01-01T00:00:00Z" }) },
    responses: { 201: answer(CreatedToken, "The token"), default: PROBLEM },
  }),
  async (c) => {
    const { name, speaksForOthers = false, ...asked } = c.req.valid("json");
    const own = ownToken(c);
    const nowMs = Date.now();
    if (speaksForOthers && c.var.speaksForOthers !== true)
      throw tooMuch("The token of this request does not speak for others.");
    const expiresAt = asked.expiresAt === undefined ? own.expiresAt : new Date(asked.expiresAt).toISOString();
    if (own.expiresAt !== null && (expiresAt === null || expiresAt > own.expiresAt)) {
      throw tooMuch(`The token of this request expires at ${own.expiresAt}; \`expiresAt\` may not be later.`);
    }
    const now = new Date(nowMs);
    const createdBy = tokenIdOf(own.hash);
    const made = makeToken(c.var.ownerId, name, { speaksForOthers, expiresAt, createdBy, now });
    if (!(await addToken(c.env.DB, c.var.ownerId, made, nowMs))) {
      throw problem("too-many-tokens", { detail: `There are ${MAX_TOKENS}. Revoke one that is not used any more.` });
    }
    const id = tokenIdOf(hashToken(made.token));
    const times = { createdAt: now.toISOString(), expiresAt, isExpired: false, lastUsedAt: null };
    return c.json({ id, name, ...times, speaksForOthers, createdBy, isCurrent: false, token: made.token }, 201);
  },
);

tokens.openapi(
  createRoute({
    method: "get",
    path: "/api/tokens",
    operationId: "listTokens",
    summary: "Lists your tokens, the oldest first, without their secrets",
    description: "A token that has expired is listed for a day or longer. `lastUsedAt` is exact to the hour.",
    responses: { 200: answer(TokenList, "The tokens"), default: PROBLEM },
  }),
  async (c) => {
    const current = tokenIdOf(ownToken(c).hash);
    return c.json({ tokens: await listTokens(c.env.DB, c.var.ownerId, current, Date.now()) }, 200);
  },
);

tokens.openapi(
  createRoute({
    method: "delete",
    path: "/api/tokens/{tokenId}",
    operationId: "revokeToken",
    summary: "Revokes one of your tokens, also that of the request: it is refused (401) from then on",
    description: "Tokens that it made stay valid, and so do WebSockets that are open. `createdBy` says what it made.",
    request: { params: z.object({ tokenId: TokenId }) },
    responses: { 204: { description: "It is revoked" }, default: PROBLEM },
  }),
  async (c) => {
    const { tokenId } = c.req.valid("param");
    if (!(await removeToken(c.env.DB, c.var.ownerId, tokenId))) throw problem("token-not-found");
    return c.body(null, 204);
  },
);

function tooMuch(detail: string) {
  return problem("token-exceeds-its-maker", { detail });
}
