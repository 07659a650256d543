/** Creates a session in one transaction: its record, its first message if it has one, and the start of its sandbox. */
import type { SessionView } from "@valet/shared/protocol/session-view";
import { withoutUndefined } from "@valet/shared/without-undefined";
import { callerOf, originOf, userOf } from "./caller.ts";
import type { SessionParts } from "./compose.ts";
import type { CallContext, NewSession } from "./contract.ts";
import { ok, type Result, refuse } from "./core/result.ts";
import { NO_LINK } from "./core/session-state.ts";
import { splitCredentials } from "./credentials/repository.ts";
import { endRequest } from "./request-end.ts";
import { isSameCreation } from "./same-creation.ts";

/** Creates a session. Idempotent: a repeated call by the same owner returns the existing session. */
export async function createSession(
  parts: SessionParts,
  { origin, ...input }: NewSession,
  ctx: CallContext,
): Promise<Result<SessionView>> {
  const { state, transactions, lifecycle, intake, intervals, credentials, tracer, view } = parts;
  const before = answerTo(parts, input, ctx);
  if (before !== undefined) return before;
  const { prompt, repoUrl, user: _, ...settings } = withoutUndefined(input);
  const userId = userOf(ctx);
  const refusal = prompt === undefined ? undefined : intake.refuseFirst(prompt);
  if (refusal !== undefined) return refusal;
  const repository = repoUrl === undefined ? undefined : splitCredentials(repoUrl);
  const open = origin?.credentials ?? repository?.credentials;
  const sealed = open && (await credentials.seal(open, input.id));
  // The same call may have arrived again while the credentials were being sealed.
  const meanwhile = answerTo(parts, input, ctx);
  if (meanwhile !== undefined) return meanwhile;
  return transactions.run(() => {
    state.create({
      models: [],
      queueMode: "followup",
      idleTimeoutMs: intervals.idleTimeoutMs,
      ...settings,
      ...withoutUndefined({ repoUrl: repository?.repoUrl, credentials: sealed, depth: origin?.depth }),
      ownerId: ctx.ownerId,
      userId,
      state: "created",
      generation: 0,
      link: NO_LINK,
      recovery: { attempts: 0, readyMs: 0 },
    });
    const cause = callerOf(ctx);
    lifecycle.start({ reason: "session_created", causes: cause === undefined ? [] : [cause] });
    if (prompt !== undefined) {
      const spawned = originOf("spawned_by", origin?.spawnedBy, settings.parentSessionId);
      const parent = spawned === undefined ? cause : undefined;
      intake.takeMessage(
        { content: prompt, queueMode: "followup" },
        { parent, userId, initial: true, origin: spawned },
      );
    }
    return endRequest(tracer, ctx, ok(view()));
  });
}

/** Returns the answer if the session cannot be created, because it exists or was ended before; `undefined` if it can. */
function answerTo(parts: SessionParts, input: NewSession, { ownerId }: CallContext): Result<SessionView> | undefined {
  const { state, reports, view } = parts;
  const known = state.maybe;
  if (known !== undefined) {
    if (known.id !== input.id || known.ownerId !== ownerId) return refuse("session-exists", "Use a new id.");
    if (known.deletion !== undefined) return refuse("session-ended", "It is being deleted. Use a new id.");
    return isSameCreation(parts, input)
      ? ok(view())
      : refuse("id-taken", "You have a session of this id that was created with other content. Use a new id.");
  }
  return reports.isNeverMade
    ? refuse("session-ended", "The session's parent ended before the session was created.")
    : undefined;
}
