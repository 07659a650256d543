/** The API's bearer tokens, as their owner makes, lists and revokes them. */
import { z } from "zod";

const time = z.iso.datetime();

/** The most tokens that an owner may have, with those that expired within the last day. */
export const MAX_TOKENS = 100;
const MAX_LIFETIME_MS = 10 * 366 * 24 * 60 * 60_000;

export const TokenId = z
  .string()
  .regex(/^tok_[0-9a-f]{16}$/, "not a token's id")
  .describe("The token's id, which is derived from its hash and opens nothing");

export const CreateToken = z.strictObject({
  name: z
    .string()
    .trim()
    .min(1)
    .max(100)
    .regex(/^[^\p{Cc}]*$/u, "holds control characters")
    .describe("A label for people: where the token is used"),
  expiresAt: time
    .refine((at) => Date.parse(at) > Date.now(), "must be in the future")
    .refine((at) => Date.parse(at) < Date.now() + MAX_LIFETIME_MS, "must be within ten years")
    .describe("Not later than the expiry of the token that makes it, which is the default")
    .optional(),
  speaksForOthers: z
    .boolean()
    .describe(
      "Whether its requests may name the `user` on whose behalf they are made; only a token that may can make one",
    )
    .optional(),
});
export type CreateToken = z.infer<typeof CreateToken>;

export const TokenView = z.object({
  id: TokenId,
  name: z.string(),
  createdAt: time,
  /** `null`: never. */
  expiresAt: time.nullable(),
  isExpired: z.boolean(),
  /** Exact to the hour; `null`: not yet, or not known. */
  lastUsedAt: time.nullable(),
  speaksForOthers: z.boolean(),
  /** The id of the token that made it; `null` if it was not made over the API. */
  createdBy: TokenId.nullable(),
  /** Whether it is the token of this request. */
  isCurrent: z.boolean(),
});
export type TokenView = z.infer<typeof TokenView>;

export const CreatedToken = TokenView.extend({
  token: z.string().describe("The secret. It is shown this once, and only its hash is stored"),
});
export type CreatedToken = z.infer<typeof CreatedToken>;

/** All tokens of the owner, the oldest first. */
export const TokenList = z.object({ tokens: z.array(TokenView) });
export type TokenList = z.infer<typeof TokenList>;
