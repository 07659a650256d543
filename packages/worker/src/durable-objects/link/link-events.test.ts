/** What the link records, and when, over sockets that the test holds; who may open it is shown over real ones (runner-link.test.ts). */
import type { FromRunner } from "@valet/shared/protocol/runner-link";
import { describe, expect, test } from "vitest";
import { FakeSocket } from "../../../test/fake-socket.ts";
import { inRooms, type Rooms } from "../../../test/rooms.ts";
import { INTERVALS } from "../../config.ts";
import { type Connection, connectionOf } from "./connection.ts";
import { RunnerLink } from "./runner-link.ts";

const { graceMs, linkSilenceMs } = INTERVALS;

interface Opened {
  readonly socket: FakeSocket;
  say(frame: object | string | ArrayBuffer): void;
  hello(more?: Partial<Extract<FromRunner, { type: "hello" }>>): void;
}

/** A generation whose runner is expected. */
function expecting(rooms: Rooms) {
  const sockets: FakeSocket[] = [];
  const pings = new Map<unknown, number>();
  const ctx = {
    setWebSocketAutoResponse: () => {},
    acceptWebSocket: () => {},
    getWebSockets: () => sockets.filter(({ closed }) => closed === undefined).map(({ asWebSocket }) => asWebSocket),
    getWebSocketAutoResponseTimestamp: (socket: WebSocket) => {
      const ms = pings.get(socket);
      return ms === undefined ? null : new Date(ms);
    },
  };
  rooms.change({ link: { state: "connecting", instances: [], ready: false } });
  const link = new RunnerLink({ ...rooms, ctx, intervals: INTERVALS, onSpans: () => {} });
  rooms.timers.handle(link.timerHandlers);
  const open = (generation = 1): Opened => {
    const id = `con_${sockets.length + 1}`;
    const connection: Connection = { role: "runner", id, generation, connectedMs: rooms.nowMs, badFrames: 0 };
    const socket = new FakeSocket({ attachment: connection });
    sockets.push(socket);
    const say: Opened["say"] = (frame) => {
      const data = typeof frame === "string" || frame instanceof ArrayBuffer ? frame : JSON.stringify(frame);
      link.receive(socket.asWebSocket, data);
    };
    const hello: Opened["hello"] = (more) =>
      say({
        type: "hello",
        protocol: 1,
        instanceId: "run_1",
        generation,
        clockMs: rooms.nowMs + 40,
        attempts: [],
        ready: false,
        version: "1.2.3",
        ...more,
      });
    return { socket, say, hello };
  };
  return {
    link,
    open,
    ping: ({ socket }: Opened) => pings.set(socket.asWebSocket, rooms.nowMs),
    /** A runner that has introduced itself, and what was recorded of that forgotten. */
    connected: (instanceId = "run_1") => {
      const opened = open();
      opened.hello({ instanceId });
      rooms.events.length = 0;
      return opened;
    },
  };
}

/** The types of what was recorded. */
const typesOf = (rooms: Rooms) => rooms.events.map(({ type }) => type);

describe("a hello", () => {
  test("is recorded, makes its connection the one that counts, and is watched for silence", () =>
    inRooms((rooms) => {
      const { open } = expecting(rooms);
      open().hello({ attempts: ["att_1"] });
      expect(rooms.recorded("hello")).toMatchObject([{ hello: { attempts: ["att_1"] }, isBack: false }]);
      expect(rooms.state.record.link).toEqual({
        state: "connected",
        connectionId: "con_1",
        instanceId: "run_1",
        instances: ["run_1"],
        ready: false,
        clockOffsetMs: 40,
        runnerVersion: "1.2.3",
      });
      expect(rooms.timers.dueMs("link")).toBe(rooms.nowMs + linkSilenceMs);
    }));

  test("in the grace period is of a runner that is back", () =>
    inRooms((rooms) => {
      const { link, open, connected } = expecting(rooms);
      link.closed(connected().socket.asWebSocket);
      open().hello();
      expect(rooms.recorded("hello")).toMatchObject([{ isBack: true }]);
      expect(rooms.timers.dueMs("grace")).toBeUndefined();
    }));

  test("of another runner takes the link over, and the one before is told once that holds", () =>
    inRooms((rooms) => {
      const { open, connected } = expecting(rooms);
      const first = connected();
      rooms.beforeCommit = () => expect(first.socket.closed).toBeUndefined();
      open().hello({ instanceId: "run_2" });
      expect(first.socket.closed).toEqual([4410, "superseded"]);
      expect(rooms.state.record.link).toMatchObject({ instanceId: "run_2", instances: ["run_1", "run_2"] });
      expect(rooms.recorded("hello")).toMatchObject([{ isBack: false }]);
    }));

  test("that cannot be stored is none: its socket is closed, so that the runner connects again and says it again", () =>
    inRooms((rooms) => {
      const { link, open, connected } = expecting(rooms);
      const before = connected();
      const full = () => {
        throw new Error("database or disk is full");
      };
      rooms.beforeCommit = full;
      const opened = open();
      expect(() => opened.hello({ instanceId: "run_2" })).toThrow("full");
      expect(opened.socket.closed?.[0]).toBe(1011);
      expect(connectionOf(opened.socket.asWebSocket)?.greeted).toBeUndefined();
      expect([before.socket.closed, rooms.state.record.link]).toMatchObject([undefined, { connectionId: "con_1" }]);
      rooms.beforeCommit = () => {};
      rooms.events.length = 0;
      link.closed(opened.socket.asWebSocket);
      open().hello({ instanceId: "run_2" });
      expect(rooms.recorded("hello")).toMatchObject([{ hello: { instanceId: "run_2" } }]);
      expect(rooms.state.record.link).toMatchObject({ connectionId: "con_3", instances: ["run_1", "run_2"] });
    }));

  test("of another version whose refusal cannot be stored is not refused: the runner connects again and says it again", () =>
    inRooms((rooms) => {
      const { link, open } = expecting(rooms);
      const opened = open();
      rooms.beforeCommit = () => {
        throw new Error("database or disk is full");
      };
      const foreign = { type: "hello", protocol: 99, generation: 1 };
      expect(() => opened.say(foreign)).toThrow("full");
      expect([opened.socket.closed?.[0], opened.socket.frames]).toEqual([1011, []]);
      rooms.beforeCommit = () => {};
      rooms.events.length = 0;
      link.closed(opened.socket.asWebSocket);
      const again = open();
      again.say(foreign);
      expect(again.socket.closed).toEqual([4412, "protocol_unsupported"]);
      expect(rooms.recorded("foreign-runner")).toHaveLength(1);
    }));

  test.each<[string, (rooms: Rooms) => void, number | undefined]>([
    ["the generation before", (rooms) => rooms.change({ generation: 2 }), undefined],
    ["another generation than its connection's", () => {}, 2],
    [
      "one whose sandbox has ended",
      (rooms) => rooms.change({ link: { state: "gone", instances: [], ready: false } }),
      undefined,
    ],
  ])("of %s is refused, and nothing is recorded", (_which, change, generation) =>
    inRooms((rooms) => {
      const { open } = expecting(rooms);
      const opened = open();
      change(rooms);
      opened.hello(generation === undefined ? {} : { generation });
      expect(opened.socket.closed).toEqual([4409, "stale_generation"]);
      expect(rooms.events).toEqual([]);
    }),
  );

  test("of a transaction that is rolled back leaves the link as it was", () =>
    inRooms((rooms) => {
      const { open, connected } = expecting(rooms);
      const first = connected();
      rooms.beforeCommit = () => {
        throw new Error("no");
      };
      expect(() => open().hello({ instanceId: "run_2" })).toThrow("no");
      expect(rooms.state.record.link.instanceId).toBe("run_1");
      expect(first.socket.closed).toBeUndefined();
    }));
});

describe("a frame", () => {
  const WORKING = { type: "working", attemptId: "att_1" };

  test("of the connection that counts is recorded", () =>
    inRooms((rooms) => {
      connectedSays(rooms, WORKING);
      expect(rooms.events).toEqual([{ type: "frame", frame: WORKING }]);
    }));

  test.each<[string, string | object | ArrayBuffer]>([
    ["not understood", { type: "working" }],
    ["no text", new ArrayBuffer(2)],
  ])("that is %s is answered, and not recorded", (_what, frame) =>
    inRooms((rooms) => {
      const { socket } = connectedSays(rooms, frame);
      expect(socket.frames).toMatchObject([{ type: "error" }]);
      expect(rooms.events).toEqual([]);
    }),
  );

  test("of a type of tomorrow is passed over", () =>
    inRooms((rooms) => {
      const { socket } = connectedSays(rooms, { type: "of_tomorrow" });
      expect([socket.frames, rooms.events]).toEqual([[], []]);
    }));

  test("of a connection that counts no more, or not yet, is not recorded", () =>
    inRooms((rooms) => {
      const { open, connected } = expecting(rooms);
      const early = open();
      early.say(WORKING);
      expect(early.socket.frames).toMatchObject([{ type: "error", error: "hello comes first" }]);
      connected();
      early.say(WORKING);
      expect(rooms.events).toEqual([]);
    }));

  function connectedSays(rooms: Rooms, frame: string | object | ArrayBuffer): Opened {
    const opened = expecting(rooms).connected();
    opened.say(frame);
    return opened;
  }
});

describe("a runner of another protocol", () => {
  const foreign = (opened: Opened) => opened.say({ type: "hello", protocol: 7 });
  const protocols = { runner: 7, sessionAgent: 1 };

  test("is refused with both versions, and recorded once", () =>
    inRooms((rooms) => {
      const { open } = expecting(rooms);
      const opened = open();
      foreign(opened);
      foreign(opened);
      expect(opened.socket.frames).toEqual([{ type: "refused", reason: "protocol_unsupported", protocols }]);
      expect(rooms.events).toEqual([{ type: "foreign-runner", protocols }]);
    }));

  test("changes nothing where one that is understood has the link, nor in an older generation", () =>
    inRooms((rooms) => {
      const { open, connected } = expecting(rooms);
      const old = open();
      connected();
      foreign(open());
      rooms.change({ generation: 2, link: { state: "connecting", instances: [], ready: false } });
      foreign(old);
      expect(rooms.events).toEqual([]);
    }));
});

describe("the link is down", () => {
  test("when its socket closes: recorded, and the grace period begins", () =>
    inRooms((rooms) => {
      const { link, connected } = expecting(rooms);
      link.closed(connected().socket.asWebSocket);
      expect(rooms.events).toEqual([{ type: "link-down", instanceId: "run_1", isClosed: true }]);
      expect(rooms.state.record.link).toMatchObject({ state: "grace", instanceId: "run_1", instances: ["run_1"] });
      expect(rooms.state.record.link.connectionId).toBeUndefined();
      expect([rooms.timers.dueMs("grace"), rooms.timers.dueMs("link")]).toEqual([rooms.nowMs + graceMs, undefined]);
    }));

  test("once, however often that is said, and not when another socket closes", () =>
    inRooms((rooms) => {
      const { link, open, connected } = expecting(rooms);
      const other = open();
      const { socket } = connected();
      link.closed(other.socket.asWebSocket);
      expect(rooms.events).toEqual([]);
      link.closed(socket.asWebSocket);
      link.closed(socket.asWebSocket);
      expect(typesOf(rooms)).toEqual(["link-down"]);
    }));

  test("when a frame cannot be sent", () =>
    inRooms((rooms) => {
      const { link, connected } = expecting(rooms);
      connected().socket.isBroken = true;
      expect(link.send({ type: "shutdown", reason: "hibernate" })).toBe(false);
      expect(link.send({ type: "shutdown", reason: "hibernate" })).toBe(false);
      expect(typesOf(rooms)).toEqual(["link-down"]);
    }));

  test("when nothing has been heard for too long; then its socket is closed", () =>
    inRooms((rooms) => {
      const { connected, ping } = expecting(rooms);
      const opened = connected();
      rooms.pass(linkSilenceMs - 1);
      ping(opened);
      rooms.pass(linkSilenceMs - 1);
      opened.say({ type: "working", attemptId: "att_1" });
      rooms.pass(linkSilenceMs - 1);
      expect(rooms.recorded("link-down")).toEqual([]);
      rooms.pass(1);
      expect(rooms.recorded("link-down")).toEqual([{ type: "link-down", instanceId: "run_1", isClosed: false }]);
      expect(opened.socket.closed?.[0]).toBe(4408);
    }));

  test("when the object comes to life and its socket is not there", () =>
    inRooms((rooms) => {
      const { link, connected } = expecting(rooms);
      const { socket } = connected();
      link.resume();
      expect(rooms.events).toEqual([]);
      socket.closed = [1006, ""];
      link.resume();
      expect(rooms.events).toEqual([{ type: "link-down", instanceId: "run_1", isClosed: false }]);
    }));
});

describe("the grace period", () => {
  test("ends with the link gone, once", () =>
    inRooms((rooms) => {
      const { link, connected } = expecting(rooms);
      link.closed(connected().socket.asWebSocket);
      rooms.pass(graceMs - 1);
      expect(typesOf(rooms)).toEqual(["link-down"]);
      rooms.pass(graceMs);
      expect(typesOf(rooms)).toEqual(["link-down", "link-gone"]);
    }));

  test("that has passed while nobody wanted the runner has passed now that somebody does", () =>
    inRooms((rooms) => {
      const { link, connected } = expecting(rooms);
      link.closed(connected().socket.asWebSocket);
      rooms.pass(2 * graceMs);
      rooms.run(() => link.want());
      rooms.pass(0);
      expect(typesOf(rooms)).toEqual(["link-down", "link-gone", "link-gone"]);
    }));

  test("is not cut short by that, and a runner that is there has none", () =>
    inRooms((rooms) => {
      const { link, connected } = expecting(rooms);
      const { socket } = connected();
      rooms.run(() => link.want());
      expect(rooms.timers.dueMs("grace")).toBeUndefined();
      link.closed(socket.asWebSocket);
      rooms.pass(10);
      rooms.run(() => link.want());
      expect(rooms.timers.dueMs("grace")).toBe(rooms.nowMs - 10 + graceMs);
    }));
});

describe("the end of a link", () => {
  test("says which runners there were and when the last was heard, and closes its sockets once that holds", () =>
    inRooms((rooms) => {
      const { link, connected } = expecting(rooms);
      connected("run_1");
      const { socket, say } = connected("run_2");
      rooms.pass(1000);
      say({ type: "working", attemptId: "att_1" });
      const heardMs = rooms.nowMs;
      rooms.pass(500);
      rooms.beforeCommit = () => expect(socket.closed).toBeUndefined();
      const ended = rooms.run(() => link.end());
      expect(ended).toEqual({ instances: ["run_1", "run_2"], instanceId: "run_2", lastSeenMs: heardMs });
      expect(socket.closed).toEqual([1000, "the sandbox has ended"]);
      expect(rooms.state.record.link).toEqual({ state: "gone", ready: false, instances: ["run_1", "run_2"] });
      expect(rooms.timers.dueMs("link")).toBeUndefined();
      expect(rooms.recorded("link-down")).toEqual([]);
    }));

  test("again knows the same runners; nobody has heard of them since", () =>
    inRooms((rooms) => {
      const { link, connected } = expecting(rooms);
      connected();
      rooms.run(() => link.end());
      expect(rooms.run(() => link.end())).toEqual({ instances: ["run_1"] });
    }));

  test("comes to nothing where its transaction is rolled back", () =>
    inRooms((rooms) => {
      const { link, connected } = expecting(rooms);
      const { socket } = connected();
      const work = () =>
        rooms.run(() => {
          link.end();
          throw new Error("no");
        });
      expect(work).toThrow("no");
      expect([rooms.state.record.link.state, socket.closed]).toEqual(["connected", undefined]);
    }));

  test("comes with a new generation, which knows none of the runners before it", () =>
    inRooms((rooms) => {
      const { link, connected } = expecting(rooms);
      const { socket } = connected();
      rooms.run(() => link.expect());
      expect(rooms.state.record.link).toEqual({ state: "connecting", instances: [], ready: false });
      expect(socket.closed?.[0]).toBe(1000);
      expect(link.send({ type: "shutdown", reason: "hibernate" })).toBe(false);
      expect(rooms.events).toEqual([]);
    }));
});

test("kept secrets are recorded for the generation, but not of the one version that keeps none for its successors", () =>
  inRooms((rooms) => {
    const { link, open } = expecting(rooms);
    open().hello({ version: "0.1.0" });
    rooms.run(() => link.recordSecretsKept());
    expect(rooms.state.record.link.hasSecrets).toBeUndefined();
    open().hello({ version: "0.2.0" });
    rooms.run(() => link.recordSecretsKept());
    expect(rooms.state.record.link.hasSecrets).toBe(true);
  }));

test("when a runner was last seen is known of the one that has the link only", () =>
  inRooms((rooms) => {
    const { link, connected, ping } = expecting(rooms);
    const opened = connected();
    rooms.pass(700);
    ping(opened);
    expect([link.lastSeenMs("run_1"), link.lastSeenMs("run_2")]).toEqual([rooms.nowMs, undefined]);
    link.closed(opened.socket.asWebSocket);
    expect(link.lastSeenMs("run_1")).toBeUndefined();
  }));
