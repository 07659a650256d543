/** The rooms of a session's object: when they are composed, and how calls read and change the session. */
import type { Env } from "../bindings.ts";
import { ConfigError, requireConfig } from "../config.ts";
import { composeSession, reportFailure, type SessionParts } from "./compose.ts";
import type { CallContext } from "./contract.ts";
import { ok, type Result, refuse } from "./core/result.ts";
import { hasTables } from "./core/schema.ts";
import { type DescribeRequest, endRequest } from "./request-end.ts";

export const NOT_FOUND = refuse("session-not-found", "There is no session with this id.");
const DELETED = refuse("session-deleted", "It has just been deleted.");

export class SessionRooms {
  readonly #ctx: DurableObjectState;
  readonly #env: Env;
  /** An object that has stored nothing has none: a stray call or alarm must not leave anything in its storage. */
  #composed: SessionParts | undefined;
  #invalid: ConfigError | undefined;

  /** @param parts the rooms; only tests compose them differently */
  constructor(ctx: DurableObjectState, env: Env, parts?: SessionParts) {
    this.#ctx = ctx;
    this.#env = env;
    if (parts === undefined && !hasTables(ctx.storage.sql)) return;
    try {
      this.#resume(parts ?? this.#compose());
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      // Its alarm must still be able to run: the platform gives up an alarm whose object cannot be created.
      reportFailure(error);
      this.#invalid = error;
    }
  }

  #compose(): SessionParts {
    requireConfig(this.#env);
    return composeSession(this.#ctx, this.#env);
  }

  #resume(parts: SessionParts): void {
    this.#composed = parts;
    if (parts.state.maybe === undefined) return;
    parts.transactions.run(() => {
      parts.lifecycle.resume();
      parts.lease.resume();
      parts.link.resume();
      parts.outbox.resume();
      parts.notices.resume();
      parts.children.resume();
      parts.reports.resume();
      parts.deletion.resume();
    });
    parts.credentials.resume();
  }

  /**
   * The variable of the deployment for which a session that is there cannot work; `undefined` where it can. The next deployment starts
   * the object anew.
   */
  get invalid(): ConfigError | undefined {
    return this.#invalid;
  }

  /** The rooms, composed where that has not happened. @throws ConfigError if a variable of the deployment is invalid */
  get parts(): SessionParts {
    this.#composed ??= this.#compose();
    return this.#composed;
  }

  /** The rooms, if they are composed: those of a session, or of one that was deleted or is about to be created. */
  get composed(): SessionParts | undefined {
    return this.#composed;
  }

  /** The rooms of the session, if there is one. @throws ConfigError if there may be one, and a variable is invalid */
  get existing(): SessionParts | undefined {
    if (this.#invalid !== undefined) throw this.#invalid;
    const parts = this.#composed;
    return parts?.state.maybe === undefined || parts.deletion.isDone ? undefined : parts;
  }

  /** Why there is no session. */
  get refusal(): ReturnType<typeof refuse> {
    return this.#composed?.deletion.isDone ? DELETED : NOT_FOUND;
  }

  /** Reads the session; refuses if it has not been created. */
  read<T>(read: (parts: SessionParts) => Result<T>): Result<T> {
    const parts = this.existing;
    return parts === undefined ? this.refusal : read(parts);
  }

  /** Changes the session in one transaction. The span of the request that asked for it ends in it, too. */
  change<T>(ctx: CallContext, change: (parts: SessionParts) => Result<T>, describe?: DescribeRequest<T>): Result<T> {
    return this.read((parts) => parts.transactions.run(() => endRequest(parts.tracer, ctx, change(parts), describe)));
  }

  /** Changes the session on behalf of another session of its family; refuses if that has another owner. */
  changeFamily<T>(ctx: CallContext, change: (parts: SessionParts) => Result<T>): Result<T> {
    return this.change(ctx, (parts) => (parts.state.record.ownerId === ctx.ownerId ? change(parts) : NOT_FOUND));
  }

  /** Changes the session, and returns it as it is afterwards. */
  changeSession(ctx: CallContext, change: (parts: SessionParts) => Result<void>) {
    const result = this.change(ctx, change);
    return result.ok ? { ...result, value: this.parts.view() } : result;
  }

  /** Runs `work`, and returns the session as it is afterwards. */
  readSession(work: (parts: SessionParts) => Result<void>) {
    const result = this.read(work);
    return result.ok ? ok(this.parts.view()) : result;
  }
}
