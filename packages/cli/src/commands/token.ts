import type { CreatedToken, TokenView } from "@valet/shared/protocol/tokens";
import type { Command } from "commander";
import { ASKING_CODES, agree } from "../agree.ts";
import { connect, type GlobalOptions, print, printJson, printLines } from "../context.ts";
import { parseDuration, parseIsoTime } from "../duration-arguments.ts";
import { UserError } from "../errors.ts";
import { matchId } from "../match-id.ts";

interface CreateOptions extends GlobalOptions {
  readonly expires?: string;
  readonly speaksForOthers?: boolean;
}

interface RevokeOptions extends GlobalOptions {
  readonly yes?: boolean;
}

const EXIT_CODES = "\nExit codes: 0 success; 1 refused; 2 usage or environment error.\n";

export function addToken(program: Command): void {
  const token = program
    .command("token")
    .description("make, list and revoke tokens of the API: create, list, revoke")
    .addHelpText("after", `${EXIT_CODES}\nExample:\n  valet token create laptop --expires 90d`);
  token
    .command("create <name>")
    .description("make a token for the same owner, and print its secret, this once")
    .option("--expires <time>", "when it stops being valid: in 12h, 90d, or at an ISO time; when yours does if omitted")
    .option("--speaks-for-others", "its requests may name the `user` for whom they are made; only if yours may")
    .addHelpText("after", `${EXIT_CODES}\nExample:\n  valet token create ci --expires 30d`)
    .action(async (name: string, _options, command: Command) => {
      const options = command.optsWithGlobals<CreateOptions>();
      const { expires, speaksForOthers } = options;
      const api = connect(options);
      const created = await api.createToken({
        name,
        ...(expires !== undefined && { expiresAt: endOf(expires, await api.timeFor(expires)) }),
        ...(speaksForOthers && { speaksForOthers }),
      });
      if (options.json) printJson(created);
      else for (const line of createdLines(created)) print(line);
    });
  token
    .command("list")
    .description("list your tokens, the oldest first; never their secrets")
    .addHelpText("after", `${EXIT_CODES}\nExample:\n  valet token list`)
    .action(async (_options, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>();
      const tokens = await connect(options).tokens();
      if (options.json) printJson({ tokens });
      else printLines(tokens.map(tokenLine));
    });
  token
    .command("revoke <token>")
    .description("revoke a token by its id, the beginning of its id, or its name; it is refused from then on")
    .option("--yes", "do not ask, though it is the token that you use")
    .addHelpText(
      "after",
      `\nExit codes: 0 success; ${ASKING_CODES}.\n\nExample:\n  valet token revoke tok_0123456789abcdef`,
    )
    .action(async (wanted: string, _options, command: Command) => {
      await revoke(wanted, command.optsWithGlobals<RevokeOptions>());
    });
}

async function revoke(wanted: string, options: RevokeOptions): Promise<void> {
  const api = connect(options);
  const found = tokenIn(await api.tokens(), wanted);
  const question = `Revoke ${found.id}?`;
  const isSettled = !found.isCurrent || options.yes;
  if (!(await agree({ yes: isSettled, loss: OWN, question, refused: "Nothing was revoked." }))) return;
  await api.revokeToken(found.id);
  const next = found.isCurrent ? ` ${AFTERWARDS}` : "";
  if (options.json) printJson({ id: found.id, name: found.name, status: "revoked" });
  else print(`${found.id} (${found.name}) is revoked: requests with it are refused (401).${next}`);
}

const AFTERWARDS = "It was the one that you used: give another one (--token, VALET_TOKEN), or start `valet up` again.";
const OWN =
  "This is the token that you use: without another one you cannot reach this Valet any more; a local one makes a new token " +
  "when `valet up` starts again.";

const TOKENS = { one: "token", many: "tokens", type: "token-not-found", remedy: "See `valet token list`." };

/** Returns the token of this id, beginning of an id, or name. @throws UserError if there is none, or are several */
function tokenIn(tokens: readonly TokenView[], wanted: string): TokenView {
  const named = tokens.filter(({ name }) => name === wanted);
  const [only] = named;
  if (only !== undefined && named.length === 1) return only;
  if (named.length > 1) {
    const ids = named.map(({ id }) => id).join(", ");
    throw new UserError(`${named.length} tokens have the name ${wanted}: name one by its id: ${ids}.`, {
      type: "ambiguous-id",
    });
  }
  const candidates = tokens.map(({ id, name }) => ({ id, note: name }));
  const id = matchId(wanted, candidates, TOKENS);
  return tokens.find((each) => each.id === id) as TokenView;
}

/** Returns when a token ends: after a duration, or at a time. @throws UserError for any other text */
export function endOf(text: string, nowMs: number): string {
  const duration = parseDuration(text);
  const ms = duration === undefined ? parseIsoTime(text) : nowMs + duration;
  const date = new Date(ms);
  if (Number.isNaN(date.getTime())) {
    throw new UserError(`--expires: ${text} is no time. Give a duration such as 12h or 90d, or an ISO time.`);
  }
  return date.toISOString();
}

function createdLines({ id, token, name, expiresAt }: CreatedToken): string[] {
  return [
    token,
    `It is ${id} (${name}), ${expiresAt === null ? "valid until it is revoked" : `valid until ${expiresAt}`}. The secret is not shown again.`,
    `Use it: VALET_TOKEN or --token. Revoke it: valet token revoke ${id}.`,
  ];
}

function tokenLine({
  id,
  name,
  createdAt,
  expiresAt,
  isExpired,
  lastUsedAt,
  speaksForOthers,
  isCurrent,
}: TokenView): string {
  const end = expiresAt === null ? "does not expire" : `${isExpired ? "expired" : "expires"} ${expiresAt}`;
  const used = lastUsedAt === null ? "not used yet" : `last used ${lastUsedAt}`;
  const notes = [...(speaksForOthers ? ["speaks for others"] : []), ...(isCurrent ? ["this one"] : [])];
  return [id, name, `created ${createdAt}`, end, used, ...notes].join("  ");
}
