/**
 * Tells the owner's endpoints what has happened in the session. Events follow from the projection to D1: when D1 has a turn, a status
 * or a verdict, the events for them are stored, in the transaction that records that D1 has it. So an event costs no transaction of
 * its own, none is lost or told twice, and whoever receives one finds in the API's lists what it tells, or something later. The statement
 * that asks who listens is part of the projection's batch, and an owner without endpoints costs no further request.
 *
 * Each event for each endpoint is a durable call: one at a time for each endpoint, in order, with the same id for each try.
 */
import { attentionKey } from "@valet/shared/answers/verdict/verdict";
import type { SessionStatus, SessionView, TurnRecord } from "@valet/shared/protocol/session-view";
import type { WebhookEvent, WebhookEventType } from "@valet/shared/protocol/webhooks";
import { recordDelivered, recordDropped, recordFailure, type Subscription } from "../../database/webhooks.ts";
import { failureOf, type Posted, type Posting } from "../../webhooks/post.ts";
import { KEY_REMOVED, secretsAt } from "../../webhooks/secrets.ts";
import { type DurableCall, type DurableCallOptions, DurableCalls } from "../core/durable-call.ts";
import type { Happened } from "../core/happened.ts";
import { newId } from "../core/ids.ts";
import { isoTime } from "../core/iso-time.ts";
import type { TimerHandlers } from "../core/timers.ts";
import { attentionChanged, stateChanged, turnEnded } from "./compose-event.ts";
import { Endpoints, type EndpointsOptions } from "./endpoints.ts";

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
/** The waits after failed tries: the first ones of the schedule that Standard Webhooks gives as an example, most of a day in all. */
const WAITS_MS = [5000, 5 * MINUTE_MS, 30 * MINUTE_MS, 2 * HOUR_MS, 5 * HOUR_MS, 10 * HOUR_MS];
/** An event that waited for others longer than this is tried once. */
const LONGEST_MS = 24 * HOUR_MS;
/** A try ends by itself before. */
const TIMEOUT_MS = 60_000;
const GONE = 410;

/** What D1 now has of the session, and which endpoints listen. */
export interface Projected {
  readonly view: SessionView;
  /** The turns that have ended, and the statuses that the session took, oldest first. */
  readonly happened: readonly Happened[];
  readonly subscriptions: readonly Subscription[];
}

export interface NoticesOptions extends DurableCallOptions, EndpointsOptions {
  /** Returns the sentence of `why` for a message or a workflow. */
  readonly why: (jobId: string) => Promise<string | undefined>;
  readonly post: (posting: Posting) => Promise<Posted>;
}

/** An event for one endpoint. */
interface Notice {
  /** Of the event; the same for each endpoint and each try. */
  readonly id: string;
  readonly atMs: number;
  /** JSON. */
  readonly body: string;
}

type Told = { readonly status?: SessionStatus | undefined; readonly attention: string };

export class Notices {
  readonly #options: NoticesOptions;
  readonly #endpoints: Endpoints;
  /** The key is the endpoint's id. */
  readonly #calls: DurableCalls<Notice, "done" | "retry">;
  readonly timerHandlers: TimerHandlers<"webhook">;

  constructor(options: NoticesOptions) {
    this.#options = options;
    this.#endpoints = new Endpoints(options);
    this.#calls = new DurableCalls("webhook", options, {
      delivers: "all",
      timeoutMs: TIMEOUT_MS,
      waitsMs: WAITS_MS,
      call: (call) => this.#deliver(call),
      settle: (answer) => answer,
    });
    this.timerHandlers = { webhook: this.#calls.onTimer };
  }

  /** Resumes deliveries that were not confirmed. Called when the object starts. */
  resume(): void {
    this.#calls.resume();
  }

  /** Stores the events that follow. Called in the transaction that records that D1 has this. */
  projected({ view, happened, subscriptions }: Projected): void {
    const before = this.#told();
    let { status } = before;
    for (const each of happened) {
      if ("turn" in each) {
        const { turn, sentence = plainSentence(turn) } = each;
        this.#add(subscriptions, "turn.ended", () => turnEnded(view, turn, sentence));
      } else if (each.status !== status) {
        const change = { status: each.status, previous: status, at: isoTime(each.atMs) };
        this.#add(subscriptions, "session.state", () => stateChanged(view, change));
        status = each.status;
      }
    }
    const attention = attentionKey(view.attention);
    if (attention !== before.attention) {
      const at = isoTime(this.#options.now());
      this.#add(subscriptions, "session.attention", () => attentionChanged(view, view.attention, at));
    }
    if (status !== before.status || attention !== before.attention) this.#tell({ status, attention });
  }

  /** Returns the sentence of a turn. Never rejects: an event is sent even if its sentence cannot be made. */
  async sentence(turn: TurnRecord): Promise<string> {
    const { why, report } = this.#options;
    const [jobId = ""] = turn.message_ids;
    try {
      return (await why(jobId)) ?? plainSentence(turn);
    } catch (error) {
      report(error);
      return plainSentence(turn);
    }
  }

  #add(subscriptions: readonly Subscription[], type: WebhookEventType, compose: () => WebhookEvent): void {
    const listening = subscriptions.filter(({ events }) => events.includes(type));
    if (listening.length === 0) return;
    const notice = { id: newId("evt"), atMs: this.#options.now(), body: JSON.stringify(compose()) };
    for (const { id } of listening) this.#calls.add(id, notice);
  }

  /** Returns how many events wait for each endpoint, by its id. An event that is being sent does not count, since it may still arrive. */
  waiting(): ReadonlyMap<string, number> {
    const rows = this.#options.sql.exec<{ key: string; events: number }>(
      "SELECT key, COUNT(*) AS events FROM durable_calls WHERE kind = 'webhook' AND calling = 0 GROUP BY key",
    );
    return new Map(rows.toArray().map(({ key, events }) => [key, events]));
  }

  /** Tries once. Rejects only if D1 is away. */
  async #deliver(call: DurableCall<Notice>): Promise<"done" | "retry"> {
    const { db, post, now } = this.#options;
    const { key, payload, tries } = call;
    const { id, body, atMs } = payload;
    const endpoint = await this.#endpoints.read(key);
    // What waits for an endpoint that was removed or disabled goes with it; an endpoint that may be enabled again says how much that was.
    if (endpoint === undefined) {
      if (this.#calls.isCurrent(call)) await recordDropped(db, key);
      return "done";
    }
    // D1 was slow: meanwhile another try has begun, or has even succeeded, and a later event may be on its way. This answer is ignored.
    if (!this.#calls.isCurrent(call)) return "retry";
    const { url, secrets } = endpoint;
    const nowMs = now();
    const posted: Posted =
      secrets === undefined
        ? { error: KEY_REMOVED }
        : await post({ url, id, body, secrets: secretsAt(secrets, nowMs), nowMs });
    const error = failureOf(posted);
    if (error === undefined) {
      if (endpoint.isFailing) {
        await recordDelivered(db, key);
        this.#endpoints.forget(key);
      }
      return "done";
    }
    const isGone = "status" in posted && posted.status === GONE;
    // If the object dies or D1 fails during the last try, the try is repeated, so that the endpoint's counter includes the event.
    const isLast = isGone || tries > WAITS_MS.length || now() - atMs >= LONGEST_MS;
    await recordFailure(db, key, { error, atMs: now(), isGone, isLast });
    this.#endpoints.forget(key);
    return isLast ? "done" : "retry";
  }

  #told(): Told {
    const [row] = this.#options.sql.exec("SELECT told FROM notices").toArray();
    return row === undefined ? { attention: "" } : (JSON.parse(row.told as string) as Told);
  }

  #tell(told: Told): void {
    this.#options.sql.exec("INSERT OR REPLACE INTO notices VALUES (1, ?)", JSON.stringify(told));
  }
}

function plainSentence({ outcome }: TurnRecord): string {
  return `The turn ended with \`${outcome}\`.`;
}
