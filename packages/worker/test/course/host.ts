/**
 * The platform under a SessionAgent, for a course of a session: real SQLite, and the course controls everything else. Time is
 * Vitest's fake clock, the alarm fires when the clock passes it, WebSockets are two lists, and the object can be evicted or die.
 *
 * The object dies between events: workerd holds an event's output until its writes are durable, so an event has happened completely
 * or not at all. But only the first part of its output may have left.
 */
import { vi } from "vitest";
import type { Env } from "../../src/bindings.ts";
import { composeSession, type SessionParts } from "../../src/durable-objects/compose.ts";
import type { SessionState } from "../../src/durable-objects/core/session-state.ts";
import { SessionAgent } from "../../src/durable-objects/session-agent.ts";
import type { StandInBackend } from "./backend.ts";
import type { StandInBroker } from "./broker.ts";
import { StandInCapacity } from "./capacity.ts";
import { Database } from "./database.ts";

/** The peer of a link: it receives what the object's socket does. */
export interface LinkEnd {
  onText(text: string): void;
  onClosed(code: number): void;
}

interface Link {
  readonly socket: WebSocket;
  tags: readonly string[];
  readonly end: LinkEnd;
  attachment: string | null;
  /** When the peer last pinged, as the platform reports it, epoch ms. */
  lastPingMs: number | undefined;
}

interface Globals {
  readonly fetch: unknown;
  readonly Response: unknown;
  readonly WebSocketPair: unknown;
}

/** The endpoint that spans are sent to. */
const BACKEND = "https://otlp.test";
/** More alarms than this in a row are a loop. */
const MAX_ALARMS = 500;
/** After this many microtasks an answer of the broker has been handled. */
const MICROTASKS = 40;

export class Host {
  readonly broker: StandInBroker;
  readonly database = new Database();
  readonly capacity = new StandInCapacity();
  /** The errors that the object reported, each of which is a bug. */
  readonly failures: string[] = [];
  /** Called for every frame that the object sends, whether or not it arrives. */
  onFrame: (text: string) => void = () => {};
  /** Called before the object's data is deleted. */
  onErase: () => void = () => {};
  /** How often the object has set its alarm. */
  alarms = 0;
  /** Whether the object has deleted its data. */
  isErased = false;
  /** The session's records, in the order in which they changed. */
  readonly records: string[] = [];
  agent!: SessionAgent;
  parts!: SessionParts;
  readonly #real: DurableObjectState;
  readonly #env: Env;
  readonly #backend: StandInBackend | undefined;
  readonly #links: Link[] = [];
  readonly #closing: Link[] = [];
  #alarmMs: number | undefined;
  /** How often the object has started. */
  #life = 0;
  /** How many effects may still leave the object; limited only in the last event before its death. */
  #left = Infinity;
  #failingSends = 0;
  #connecting: LinkEnd | undefined;
  #opening: Link | undefined;

  /**
   * @param variables variables of the Worker, besides the required ones
   * @param backend receives the spans, if there is one
   */
  constructor(
    real: DurableObjectState,
    broker: StandInBroker,
    variables: Readonly<Record<string, string>> = {},
    backend?: StandInBackend,
  ) {
    this.#real = real;
    this.#backend = backend;
    this.broker = broker;
    this.#env = {
      DB: this.database.binding,
      PUBLIC_URL: "https://valet.test",
      SANDBOX_BROKER_URL: "http://broker.test",
      SANDBOX_BROKER_SECRET: "secret",
      VALET_MODEL: "valet/test",
      ...this.capacity.variables,
      // Segments close only at boundaries and at the end, since packing many takes most of a course's time.
      OTEL_BSP_SCHEDULE_DELAY: "86400000",
      ...(backend !== undefined && { OTEL_EXPORTER_OTLP_ENDPOINT: BACKEND }),
      ...variables,
    } as unknown as Env;
    this.#live();
  }

  /** Opens a link as the runner with this token. @returns the link; `undefined` if it was refused */
  async connect(token: string, generation: number, end: LinkEnd): Promise<HostLink | undefined> {
    this.#connecting = end;
    const headers = {
      upgrade: "websocket",
      authorization: `Bearer ${token}`,
      "x-valet-generation": String(generation),
    };
    await this.agent.fetch(new Request("https://session/runner", { headers }));
    const link = this.#links.find((each) => each.end === end);
    if (link === undefined) return undefined;
    return {
      send: (text) => {
        if (this.#links.includes(link)) this.agent.webSocketMessage(link.socket, text);
      },
      close: () => {
        if (this.#drop(link)) this.agent.webSocketClose(link.socket, 1006);
      },
      silence: () => {
        link.lastPingMs = Date.now();
      },
    };
  }

  /** The replacements for the platform's globals while a course runs. */
  get globals(): Globals {
    const makeSocket = () => this.#makeSocket();
    return {
      fetch: (url: string, init: RequestInit) => {
        const leaves = () => this.#left-- > 0;
        // The answer is an event of its own, which a dying object does not live to see.
        if (url.startsWith(BACKEND)) return this.#backend?.fetch(init, leaves, () => this.#left === Infinity);
        return this.broker.fetch(url, init, leaves);
      },
      // The real class accepts only real sockets.
      Response: class {
        readonly status: number;
        constructor(_body: unknown, init: ResponseInit) {
          this.status = init.status ?? 200;
        }
      },
      WebSocketPair: class {
        readonly 1 = makeSocket();
      },
    };
  }

  /** Makes the next send of the object fail. */
  failNextSend(): void {
    this.#failingSends++;
  }

  /** Limits how many effects still leave the object before its death. */
  doom(effects: number): void {
    this.#left = effects;
  }

  /** Kills the object: its sockets are closed, and answers are lost. Then starts it again. */
  async crash(): Promise<void> {
    const nowMs = Date.now();
    // This resets the clock, too.
    vi.clearAllTimers();
    vi.setSystemTime(nowMs);
    this.broker.orphan();
    for (const link of this.#links.splice(0)) link.end.onClosed(1006);
    this.#closing.length = 0;
    this.#left = Infinity;
    this.#failingSends = 0;
    this.#live();
    await this.settle();
  }

  /** Evicts the object from memory, unless something keeps it there. Its sockets stay. */
  async evict(): Promise<void> {
    if (this.broker.awaited > 0 || vi.getTimerCount() > 0) return;
    this.#live();
    await this.settle();
  }

  /** Advances the clock, and fires every alarm that is due meanwhile. */
  async pass(ms: number): Promise<void> {
    const untilMs = Date.now() + ms;
    for (let alarms = 0; this.#alarmMs !== undefined && this.#alarmMs <= untilMs; alarms++) {
      if (alarms > MAX_ALARMS) throw new Error(`more than ${MAX_ALARMS} alarms in ${ms} ms`);
      vi.advanceTimersByTime(Math.max(0, this.#alarmMs - Date.now()));
      this.broker.until(Date.now());
      await this.settle();
      const dueMs: number = this.#alarmMs;
      if (dueMs > Date.now()) continue;
      this.#alarmMs = undefined;
      this.agent.alarm();
      // An alarm that the object's death interrupts fires again.
      if (this.#left < Infinity) this.#alarmMs ??= dueMs;
      await this.settle();
      if (this.#left < Infinity) return;
    }
    vi.advanceTimersByTime(Math.max(0, untilMs - Date.now()));
    await this.settle();
  }

  /** Waits until everything has happened that does not need the outside. */
  async settle(): Promise<void> {
    for (let task = 0; task < MICROTASKS; task++) await undefined;
    for (let link = this.#closing.shift(); link !== undefined; link = this.#closing.shift()) {
      this.agent.webSocketClose(link.socket, 1006);
    }
  }

  /** When the alarm is due, epoch ms. */
  get alarmMs(): number | undefined {
    return this.#alarmMs;
  }

  #live(): void {
    const ctx = this.#context();
    const life = ++this.#life;
    const CAPACITY = this.capacity.binding(
      () => this.#left-- > 0,
      () => this.#life === life,
    );
    const env = { ...this.#env, CAPACITY } as unknown as Env;
    this.parts = composeSession(ctx, env);
    this.#collectRecords(this.parts.state);
    this.agent = new SessionAgent(this.#real, env, this.parts);
  }

  /** Notes each change of the session's record: of those within one commit only the last is stored. */
  #collectRecords(state: SessionState): void {
    const create = state.create.bind(state);
    const update = state.update.bind(state);
    state.create = (record) => {
      create(record);
      this.records.push(JSON.stringify(state.record));
    };
    state.update = (patch) => {
      const record = update(patch);
      this.records.push(JSON.stringify(record));
      return record;
    };
  }

  /** Returns the platform's context for one life of the object. */
  #context(): DurableObjectState {
    const { storage } = this.#real;
    const exec = (query: string, ...values: SqlStorageValue[]) => storage.sql.exec(query, ...values);
    const context = {
      id: { name: "ses_course" },
      storage: {
        sql: { exec },
        transactionSync: <T>(work: () => T) => storage.transactionSync(work),
        setAlarm: async (dueMs: number) => {
          this.#alarmMs = dueMs;
          this.alarms++;
        },
        deleteAlarm: async () => {
          this.#alarmMs = undefined;
        },
        deleteAll: async () => {
          this.onErase();
          empty(storage.sql);
          this.isErased = true;
        },
      },
      waitUntil: (work: Promise<void>) => void work.catch((error) => this.failures.push(String(error))),
      setWebSocketAutoResponse: () => {},
      getWebSocketAutoResponseTimestamp: (socket: WebSocket) =>
        new Date(this.#links.find((link) => link.socket === socket)?.lastPingMs ?? Date.now()),
      getWebSockets: (tag?: string) =>
        this.#links.filter(({ tags }) => tag === undefined || tags.includes(tag)).map(({ socket }) => socket),
      acceptWebSocket: (_socket: WebSocket, tags: string[]) => {
        if (this.#opening !== undefined) this.#links.push(Object.assign(this.#opening, { tags }));
      },
    };
    return context as unknown as DurableObjectState;
  }

  /** Returns the object's end of a link that is being opened. The link exists once the object accepts it. */
  #makeSocket(): WebSocket {
    const end = this.#connecting;
    if (end === undefined) throw new Error("nobody connects");
    const methods = {
      accept: () => {},
      send: (text: string) => {
        if (this.#failingSends > 0 && this.#links.includes(link)) {
          this.#failingSends--;
          this.#close(link, 1006);
        }
        if (!this.#links.includes(link)) throw new Error("the socket is closed");
        this.onFrame(text);
        this.#effect(() => end.onText(text));
      },
      close: (code: number) => this.#effect(() => this.#close(link, code)),
      serializeAttachment: (value: unknown) => {
        link.attachment = JSON.stringify(value);
      },
      deserializeAttachment: () => (link.attachment === null ? null : JSON.parse(link.attachment)),
    };
    const link: Link = {
      socket: methods as unknown as WebSocket,
      tags: [],
      end,
      attachment: null,
      lastPingMs: undefined,
    };
    this.#opening = link;
    return link.socket;
  }

  #close(link: Link, code: number): void {
    if (this.#drop(link)) this.#closing.push(link);
    link.end.onClosed(code);
  }

  #effect(effect: () => void): void {
    if (this.#left-- > 0) effect();
  }

  #drop(link: Link): boolean {
    const index = this.#links.indexOf(link);
    if (index >= 0) this.#links.splice(index, 1);
    return index >= 0;
  }
}

/** Deletes rows, not tables: creating those takes longer than a course. */
export function empty(sql: SqlStorage): void {
  const tables = sql.exec(
    "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '\\_%' ESCAPE '\\' AND name <> 'schema_version'",
  );
  for (const { name } of tables.toArray()) sql.exec(`DELETE FROM "${name}"`);
}

export interface HostLink {
  send(text: string): void;
  close(): void;
  /** Stops the pings. */
  silence(): void;
}
