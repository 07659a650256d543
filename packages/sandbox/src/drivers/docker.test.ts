/** The driver with real engines, Docker and Podman, by the Docker Engine API. Skipped where this machine cannot run one. */
import { once } from "node:events";
import { readFileSync, symlinkSync } from "node:fs";
import { type AddressInfo, connect, createServer } from "node:net";
import { networkInterfaces } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { DeleteAnswer, SandboxAnswer, SandboxList, SnapshotAnswer } from "@valet/shared/protocol/sandbox-broker";
import { UNREACHABLE } from "@valet/shared/protocol/sandbox-network";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import {
  createRequest,
  processesWith,
  runProgram,
  SECRET,
  STAY,
  temporaryFolder,
  testBroker,
  waitFor,
} from "../../test/broker.ts";
import { describeEngines, startEngine, type TestEngine } from "../../test/engine.ts";
import { openBridge } from "../docker/host-bridge.ts";
import { type DockerBrokerOptions, startDockerBroker } from "../index.ts";

const IMAGE = "valet-test";
const RESTART = { limit: 2, delayMs: 5, maxDelayMs: 20, stableMs: 60_000 };
const MEMORY_BYTES = 512 * 1024 * 1024;
const TRACED = { traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" };

describeEngines(
  "the driver of containers, which makes, restores, adopts and removes sandboxes by the engine's API",
  (name, isFirst) => {
    let engine: TestEngine;
    beforeAll(async () => {
      engine = await startEngine(name);
      const entrypoint = fileURLToPath(new URL("../../test/container-entrypoint.sh", import.meta.url));
      await engine.makeImage(IMAGE, { files: { "/usr/local/bin/entrypoint": entrypoint } });
    }, 60_000);
    afterAll(() => engine?.close(), 60_000);

    async function startBroker(scope: string, more: Partial<DockerBrokerOptions> = {}) {
      const errors: Error[] = [];
      const broker = await startDockerBroker({
        secret: SECRET,
        entrypoint: ["/bin/bash", "/usr/local/bin/entrypoint"],
        engine: engine.host,
        image: IMAGE,
        scope,
        maxSandboxes: 100,
        limits: { memoryBytes: MEMORY_BYTES, cpus: 1.5 },
        restart: RESTART,
        onError: (error: Error) => errors.push(error),
        ...more,
      });
      onTestFinished(() => broker.close());
      return { ...testBroker(broker.url, ""), errors, close: () => broker.close() };
    }

    /** Runs a command in a sandbox. */
    const inside = (id: string, script: string) => engine.run("exec", id, "bash", "-c", script);
    const namesOf = ({ body }: { body: { spans: string } }) =>
      JSON.parse(body.spans).resourceSpans[0].scopeSpans[0].spans.map(({ name }: { name: string }) => name);

    test("sandboxes are created, read, listed, snapshotted, terminated and restored with their files, in spans", async () => {
      const broker = await startBroker("whole");
      const script = `echo kept > work.txt; ln -s /etc/passwd link; ${STAY}`;
      const created = await broker.call("POST", "/v1/sandboxes", createRequest("d1", script), TRACED);
      expect(created).toMatchObject({ status: 201 });
      const { sandbox } = SandboxAnswer.strict().parse(created.body);
      expect(sandbox).toMatchObject({ sessionId: "d1", generation: 1, state: "running", driver: "docker" });
      expect((await broker.call("GET", `/v1/sandboxes/${sandbox.id}`)).body).toEqual({ sandbox });
      const list = await broker.call("GET", "/v1/sandboxes?sessionId=d1");
      expect(SandboxList.strict().parse(list.body)).toEqual({ sandboxes: [sandbox] });
      expect((await broker.call("GET", "/v1/health")).body).toMatchObject({
        driver: "docker",
        awake: 1,
        isolation: "container",
        limits: { memory: { value: MEMORY_BYTES, by: expect.stringMatching(/^cgroup[12]$/) }, disk: { by: "watch" } },
      });
      await waitFor(() => inside(sandbox.id, "cat /sandbox/workspace/work.txt"));

      const path = `/v1/sandboxes/${sandbox.id}`;
      const taken = await broker.call("POST", `${path}/snapshot`, undefined, TRACED);
      expect(taken).toMatchObject({ status: 201 });
      const { snapshotId, sizeBytes } = SnapshotAnswer.strict().parse(taken.body);
      expect(sizeBytes).toBeGreaterThan(4);
      // It goes on after the snapshot.
      expect(inside(sandbox.id, "echo here")).toBe("here\n");
      const unheard = await broker.call("POST", `${path}/snapshot`);
      const deleted = await broker.call("DELETE", `${path}?keeps=${snapshotId}`, undefined, TRACED);
      expect(engine.run("volume", "ls", "--quiet")).not.toContain(unheard.body.snapshotId);
      expect(DeleteAnswer.strict().parse(deleted.body)).toMatchObject({ alreadyGone: false });
      expect((await broker.call("DELETE", path)).body).toEqual({ alreadyGone: true });
      expect((await broker.call("GET", path)).status).toBe(404);
      expect((await broker.call("POST", `${path}/snapshot`)).body).toMatchObject({ code: "sandbox_gone" });

      const again = createRequest("d1", STAY, { generation: 2, snapshotId });
      const restored = await broker.call("POST", "/v1/sandboxes", again, TRACED);
      expect(restored.body.sandbox).toMatchObject({ generation: 2, snapshotId });
      const { id } = restored.body.sandbox;
      const files = "cat /sandbox/workspace/work.txt; readlink /sandbox/workspace/link";
      expect(inside(id, files)).toBe("kept\n/etc/passwd\n");
      const removed = await broker.call("DELETE", `/v1/snapshots/${snapshotId}`, undefined, TRACED);
      expect(removed.body).toMatchObject({ alreadyGone: false });
      expect((await broker.call("DELETE", `/v1/snapshots/${snapshotId}`)).body).toEqual({ alreadyGone: true });
      const none = await broker.call("POST", "/v1/sandboxes", createRequest("d1", STAY, { generation: 3, snapshotId }));
      expect(none).toMatchObject({ status: 404, body: { code: "not_found" } });
      expect([created, taken, deleted, restored, removed].map(namesOf)).toEqual([
        ["valet.sandbox.prepare", "valet.sandbox.process_start", "POST /v1/sandboxes"],
        ["valet.sandbox.copy", "valet.sandbox.pause", "valet.sandbox.commit", "POST /v1/sandboxes/:id/snapshot"],
        ["valet.sandbox.process_stop", "valet.sandbox.remove", "DELETE /v1/sandboxes/:id"],
        ["valet.sandbox.copy", "valet.sandbox.prepare", "valet.sandbox.process_start", "POST /v1/sandboxes"],
        ["valet.sandbox.remove", "DELETE /v1/snapshots/:id"],
      ]);
      expect(broker.errors).toMatchObject([{ message: expect.stringContaining(`no snapshot ${snapshotId}`) }]);
    });

    test("a sandbox has a read-only system, no new privileges, few capabilities, an init and nothing of the host's files", async () => {
      const broker = await startBroker("hardened");
      const { id } = await broker.create("d2", STAY);
      const info = await engine.engine.getContainer(id).inspect();
      expect(info.HostConfig).toMatchObject({
        Privileged: false,
        ReadonlyRootfs: true,
        Init: true,
        SecurityOpt: ["no-new-privileges"],
        PidsLimit: 4096,
        Memory: MEMORY_BYTES,
        NanoCpus: 1.5e9,
      });
      for (const bind of info.HostConfig.Binds ?? []) expect(bind).toMatch(/^valet-sb-.*:\/sandbox/);
      expect(info.Mounts).toMatchObject([{ Type: "volume", Destination: "/sandbox" }]);
      const seen = inside(
        id,
        "touch /x /usr/x 2>&1; grep -hE '^(NoNewPrivs|CapEff|CapBnd)' /proc/$(pgrep -of '^bash.*valet-supervisor')/status; ls -a /dev; cat /proc/1/cmdline | tr '\\0' ' '; { echo > /proc/sys/kernel/core_pattern; } 2>&1 || true",
      );
      expect(seen.match(/Read-only file system/g)).toHaveLength(3);
      // CHOWN, DAC_OVERRIDE, KILL, SETGID, SETUID, SYS_PTRACE.
      expect(seen).toMatch(/CapEff:\t00000000000800e3\nCapBnd:\t00000000000800e3\nNoNewPrivs:\t1\n/);
      expect(seen).not.toMatch(/^(?:sda|vda|mem|kmsg|fuse)$/m);
      expect(seen).toContain("init");
    });

    test("metadata addresses are unreachable before the entrypoint begins, for good, but for a name server there", async () => {
      const broker = await startBroker("metadata");
      const { id } = await broker.create("d15", `ip rule > rules; ip rule flush 2> refused; ${STAY}`);
      await waitFor(() => inside(id, "cat /sandbox/workspace/refused"));
      expect(inside(id, "cat /sandbox/workspace/refused")).toMatch(/not permitted/);
      const rules = inside(id, "cat /sandbox/workspace/rules");
      for (const range of UNREACHABLE) expect(rules).toContain(`from all to ${range.replace("/32", "")} unreachable`);
      expect(inside(id, "ip rule")).toBe(rules);
      const routes = "ip route get 169.254.169.254 2>&1; ip route get 169.254.169.254 ipproto 17 dport 53";
      expect(inside(id, routes)).toMatch(
        /^RTNETLINK answers: (?:Network|No route|Host).*unreachable\n169\.254\.169\.254 via /,
      );
      // For a socket that is bound to the interface: not a neighbour's address.
      expect(inside(id, "ip route get 169.254.170.23 oif eth0")).toMatch(/^local 169\.254\.170\.23 dev lo /);
    });

    test("the token reaches the entrypoint by standard input, and no environment, argument, label or file of the engine holds it", async () => {
      const broker = await startBroker("token");
      const runnerToken = String.raw`to"k\e'n$(x)%d`;
      const { id } = await broker.create("d3", STAY, { runnerToken });
      const line = await waitFor(() => inside(id, "cat /sandbox/workspace/inputs.jsonl"));
      expect(JSON.parse(line)).toEqual({ token: runnerToken, restartCount: 0 });
      const shown = inside(id, "cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline | tr '\\0' '\\n'");
      expect(shown).toContain(`VALET_SANDBOX_ID=${id}`);
      const info = JSON.stringify(await engine.engine.getContainer(id).inspect());
      const logs = engine.run("logs", id);
      for (const text of [shown, info, logs]) expect(text).not.toMatch(/to\\*"k/);
    });

    test("a dead entrypoint is restarted with the same token, until its exit code is final; the sandbox is then stopped with its files", async () => {
      const broker = await startBroker("restart");
      const { id } = await broker.create(
        "d7",
        "echo more >> work; [ -e once ] && { echo the end; exit 77; }; touch once; env -i setsid sleep 617 & exit 3",
      );
      const stopped = await waitFor(async () => {
        const { sandbox } = (await broker.call("GET", `/v1/sandboxes/${id}`)).body;
        return sandbox.state === "stopped" && sandbox;
      });
      expect(stopped).toMatchObject({ stopReason: "entrypoint_ended", lastLogLine: "the end" });
      expect(processesWith("sleep 617")).toEqual([]);
      const taken = await broker.call("POST", `/v1/sandboxes/${id}/snapshot`);
      const next = await broker.create("d7", STAY, { generation: 2, snapshotId: taken.body.snapshotId });
      expect(inside(next.id, "cat /sandbox/workspace/work")).toBe("more\nmore\n");
      const inputs = inside(next.id, "cat /sandbox/workspace/inputs.jsonl").trim().split("\n");
      expect(inputs.map((line) => JSON.parse(line).restartCount).slice(0, 2)).toEqual([0, 1]);
    });

    test("a sandbox whose entrypoint is killed for lack of memory has stopped for that reason", async () => {
      const few = { limits: { memoryBytes: 48 * 1024 * 1024 }, restart: { ...RESTART, limit: 0 } };
      const broker = await startBroker("memory", few);
      const { id } = await broker.create("d17", "x=$(head -c 90M /dev/zero | tr '\\0' x); echo no");
      const stopped = await waitFor(async () => {
        const { sandbox } = (await broker.call("GET", `/v1/sandboxes/${id}`)).body;
        return sandbox.state === "stopped" && sandbox;
      });
      expect(stopped.stopReason).toBe("out_of_memory");
    });

    test("the next entrypoint learns which limit of its container ended the one before it, and of no other end", async () => {
      const broker = await startBroker("limits", { limits: { memoryBytes: 128 * 1024 * 1024, processes: 64 } });
      // sh ends itself when it cannot fork, and bash would try for long.
      const fill = "sh -c 'while :; do sleep 618 & echo $! >>pids; done'";
      const empty = "while read -r pid; do kill -KILL $pid; while kill -0 $pid; do :; done 2>/dev/null; done <pids";
      const ends = {
        full: [`${fill}; kill -ABRT $$`, "sandbox_out_of_processes"],
        aborted: ["kill -ABRT $$", undefined],
        emptied: [`${fill}; ${empty}; kill -ABRT $$`, undefined],
        killed: [`${fill}; kill -KILL $$`, undefined],
        greedy: ["x=$(head -c 240M /dev/zero | tr '\\0' x)", "sandbox_out_of_memory"],
      } as const;
      for (const [which, [end, cause]] of Object.entries(ends)) {
        const { id } = await broker.create(
          `d18-${which}`,
          `[ -e once ] || { touch once; ${end}; }; tail -n 1 inputs.jsonl; ${STAY}`,
        );
        // A process of this test in the container would be one of those that are limited.
        const input = await waitFor(() => engine.run("logs", id).match(/^\{.*"restartCount":1.*$/m)?.[0]);
        expect([which, JSON.parse(input).restartCause]).toEqual([which, cause]);
        await broker.call("DELETE", `/v1/sandboxes/${id}`);
      }
    });

    test("a broker that closes stops its sandboxes, whose files the next one has", async () => {
      const first = await startBroker("closing");
      const { id } = await first.create("d8", STAY);
      // The entrypoint may miss the signal while it is being forked. Then it is killed.
      await waitFor(() => inside(id, "cat /sandbox/workspace/inputs.jsonl"));
      await first.close();
      expect((await engine.engine.getContainer(id).inspect()).State.Running).toBe(false);
      const second = await startBroker("closing");
      const { body } = await second.call("GET", `/v1/sandboxes/${id}`);
      expect(body.sandbox).toMatchObject({ state: "stopped", stopReason: "broker_stopped" });
      expect((await second.call("POST", `/v1/sandboxes/${id}/snapshot`)).status).toBe(201);
    });

    test("after a broker's crash the next one adopts what runs, and removes what was unfinished or has been replaced", async () => {
      const scope = "crash";
      const crashed = runProgram(
        ["--driver", "docker", "--image", IMAGE, "--scope", scope, "--", "/bin/bash", "/usr/local/bin/entrypoint"],
        { DOCKER_HOST: engine.host },
      );
      const [line] = await once(createInterface(crashed.stdout as Readable), "line");
      const first = testBroker(JSON.parse(line).url, "");
      const kept = await first.create("d9", STAY);
      const replaced = await first.create("d10", STAY);
      const ended = once(crashed, "exit");
      crashed.kill("SIGKILL");
      await ended;
      // As if it had died while it replaced a sandbox, and while it copied files.
      const { Config } = await engine.engine.getContainer(replaced.id).inspect();
      const ofScope = { "valet-scope": scope };
      const make = (labels: object, more: object = {}) =>
        engine.engine.createContainer({
          Image: IMAGE,
          Cmd: ["sleep", "9"],
          HostConfig: { Init: true },
          Labels: { ...ofScope, ...labels },
          ...more,
        });
      const newer = await make({ ...Config.Labels, "valet-generation": "2" });
      await newer.start();
      const unstarted = await make({ ...Config.Labels, "valet-session": "d11" });
      await engine.engine.createVolume({ Name: "valet-sn-half", Labels: { ...ofScope, "valet-volume": "snapshot" } });
      await engine.engine.createVolume({ Name: "valet-sn-whole", Labels: { ...ofScope, "valet-volume": "snapshot" } });
      await engine.engine.createVolume({ Name: "valet-sb-half", Labels: { ...ofScope, "valet-volume": "sandbox" } });
      await engine.engine.getContainer(kept.id).pause();
      const copier = await make({ "valet-fills": "valet-sn-half" });

      const second = await startBroker(scope);
      const all = await engine.engine.listContainers({ all: true, filters: { label: [`valet-scope=${scope}`] } });
      expect(all.map(({ Id }) => Id).sort()).toEqual([kept.id, newer.id].sort());
      for (const { id } of [replaced, unstarted, copier]) expect(all.map(({ Id }) => Id)).not.toContain(id);
      const volumes = engine.run("volume", "ls", "--quiet", "--filter", `label=valet-scope=${scope}`);
      expect(volumes.trim().split("\n")).toEqual([expect.stringMatching(/^valet-sb-/), "valet-sn-whole"]);
      expect(volumes).not.toContain("half");
      expect((await second.call("GET", `/v1/sandboxes/${kept.id}`)).body.sandbox).toEqual(kept);
      expect((await engine.engine.getContainer(kept.id).inspect()).State.Paused).toBe(false);
    });

    test("a sandbox that is ended during its snapshot, by two calls at once, leaves nothing behind", async () => {
      const broker = await startBroker("both");
      const script = `mkdir many; seq 20000 | (cd many; xargs touch); touch made; ${STAY}`;
      const { id } = await broker.create("d12", script);
      await waitFor(() => inside(id, "ls /sandbox/workspace/made"));
      const path = `/v1/sandboxes/${id}`;
      const snapshot = broker.call("POST", `${path}/snapshot`);
      const ofScope = "valet-scope=both";
      await waitFor(async () => {
        const copying = { all: true, filters: { label: ["valet-fills", ofScope] } };
        return (await engine.engine.listContainers(copying)).length > 0;
      });
      const ends = await Promise.all([broker.call("DELETE", path), broker.call("DELETE", path)]);
      expect(ends.map(({ status, body }) => [status, body.detail])).toEqual([
        [200, undefined],
        [200, undefined],
      ]);
      expect((await snapshot).body).toMatchObject({ code: "sandbox_gone" });
      expect(await engine.engine.listContainers({ all: true, filters: { label: [ofScope] } })).toEqual([]);
      expect(engine.run("volume", "ls", "--quiet", "--filter", `label=${ofScope}`)).toBe("");
      expect(broker.errors).toEqual([]);
    });

    test("an image's own entrypoint is not started", async () => {
      const maker = await engine.engine.createContainer({ Image: IMAGE, Cmd: ["sleep", "1"] });
      await maker.commit({ repo: "valet-with-entrypoint", changes: 'ENTRYPOINT ["sleep"]' });
      const broker = await startBroker("entrypoint", { image: "valet-with-entrypoint" });
      const { id } = await broker.create("d19", STAY);
      await waitFor(() => inside(id, "cat /sandbox/workspace/inputs.jsonl"));
    });

    test("a host's bridge is there while it is held, and then gone with its network", async () => {
      const of = { all: true, filters: { label: ["valet-scope=held"] } };
      const networks = async () => (await engine.engine.listNetworks()).map(({ Name }) => Name);
      const bridge = await openBridge({ engine: engine.host, scope: "held", image: IMAGE });
      expect(bridge.gateway).toMatch(/^\d+\.\d+\.\d+\.\d+$/);
      const lost = await bridge.hold();
      const before = await engine.engine.listContainers(of);
      // The next host, after a crash.
      const release = await bridge.hold();
      expect((await engine.engine.listContainers(of)).map(({ Id }) => Id)).toEqual(before.map(({ Id }) => Id));
      expect(await networks()).toContain("valet-held");
      // Otherwise the bridge's hardware address changes with its containers, which then do not find the host.
      const [name] = Object.entries(networkInterfaces()).find(([, all]) =>
        all?.some(({ address }) => address === bridge.gateway),
      ) as [string, unknown];
      expect(readFileSync(`/sys/class/net/${name}/addr_assign_type`, "utf8").trim()).toBe("3");
      // The next host may have sandboxes in another network, whose bridge the container of before does not keep.
      const network = "valet-elsewhere";
      const elsewhere = await openBridge({ engine: engine.host, scope: "held", image: IMAGE, network });
      const leave = await elsewhere.hold();
      const keepers = await engine.engine.listContainers(of);
      expect(keepers.map(({ NetworkSettings }) => Object.keys(NetworkSettings.Networks))).toEqual([[network]]);
      await leave();
      await engine.engine.getNetwork(network).remove();
      await release();
      expect(await engine.engine.listContainers(of)).toEqual([]);
      expect(await networks()).not.toContain("valet-held");
      await lost();
    });

    test("the network of the broker's own is made anew if somebody has removed it", async () => {
      const broker = await startBroker("pruned");
      await engine.engine.getNetwork("valet-pruned").remove();
      await broker.create("d13", STAY);
    });

    test("an image or an engine that is not there is named before anything starts, with what to do", async () => {
      await expect(startBroker("none", { image: "valet-none" })).rejects.toThrow(
        /no image valet-none.*valet image build/,
      );
      const nowhere = { engine: "unix:///nonexistent/engine.sock", image: IMAGE, scope: "none" };
      await expect(startDockerBroker({ secret: SECRET, entrypoint: ["true"], ...nowhere })).rejects.toThrow(
        /engine cannot be reached.*ENOENT/,
      );
    });

    // Of the driver's own, or of the image's entrypoint: with any engine the same.
    if (isFirst) {
      test("are created once per generation, also by calls at once; a newer generation ends the older one, which is then refused", async () => {
        const broker = await startBroker("once");
        const request = (more = {}) => createRequest("d4", STAY, more);
        const answers = await Promise.all([1, 2, 3].map(() => broker.call("POST", "/v1/sandboxes", request())));
        expect(answers.map(({ status }) => status)).toEqual([201, 201, 201]);
        expect(new Set(answers.map(({ body }) => body.sandbox.id)).size).toBe(1);
        const changed = await broker.call("POST", "/v1/sandboxes", request({ runnerToken: "another" }));
        expect(changed).toMatchObject({ status: 409, body: { code: "generation_conflict" } });
        const { id } = await broker.create("d4", STAY, { generation: 2 });
        const { sandboxes } = (await broker.call("GET", "/v1/sandboxes?sessionId=d4")).body;
        expect(sandboxes).toMatchObject([{ id }]);
        const stale = await broker.call("POST", "/v1/sandboxes", request());
        expect(stale).toMatchObject({ status: 409, body: { code: "stale_generation" } });
      });

      test("what does not fit is refused; what the machine or somebody else has in the engine is no sandbox", async () => {
        const broker = await startBroker("full", { maxSandboxes: 1 });
        const other = await startBroker("other");
        const { id } = await other.create("d5", STAY);
        const own = await broker.create("d5", STAY);
        const refused = await broker.call("POST", "/v1/sandboxes", createRequest("d6", STAY));
        expect(refused).toMatchObject({ status: 503, body: { code: "capacity" } });
        for (const name of [id, own.id.slice(0, 12), "nothing"]) {
          expect((await broker.call("GET", `/v1/sandboxes/${name}`)).status).toBe(404);
          expect((await broker.call("DELETE", `/v1/sandboxes/${name}`)).body).toEqual({ alreadyGone: true });
        }
        expect((await other.call("GET", `/v1/sandboxes/${id}`)).status).toBe(200);
      });

      test("a snapshot whose caller has gone meanwhile is deleted, since nobody knows it", async () => {
        const broker = await startBroker("gone");
        const { id } = await broker.create("d16", STAY);
        const caller = new AbortController();
        const headers = { authorization: `Bearer ${SECRET}` };
        const request = { method: "POST", headers, signal: caller.signal };
        const answer = fetch(`${broker.url}/v1/sandboxes/${id}/snapshot`, request).catch(() => "aborted");
        const volumes = () => engine.run("volume", "ls", "--quiet", "--filter", "label=valet-scope=gone");
        await waitFor(() => volumes().includes("valet-sn-"));
        caller.abort();
        expect(await answer).toBe("aborted");
        await waitFor(() => !volumes().includes("valet-sn-"));
        expect((await broker.call("GET", `/v1/sandboxes/${id}`)).body.sandbox.state).toBe("running");
      });

      test("an engine that hangs does not hold up the broker's end, which says what stays", async () => {
        const passage = await startPassage(new URL(engine.host).pathname);
        const broker = await startBroker("hung", { engine: passage.host });
        const { id } = await broker.create("d18", STAY);
        passage.hang();
        await broker.close();
        expect(broker.errors.map(({ message }) => message)).toContain(
          "the engine does not answer, so its sandboxes are not stopped",
        );
        expect((await engine.engine.getContainer(id).inspect()).State.Running).toBe(true);
        await startBroker("hung").then((next) => next.close());
      }, 60_000);

      test("one broker at a time has a scope, by whatever address it reaches the engine", async () => {
        const first = await startBroker("held-scope");
        const link = join(temporaryFolder(), "engine.sock");
        symlinkSync(engine.host.replace("unix://", ""), link);
        for (const address of [engine.host, `unix://${link}`]) {
          const second = startBroker("held-scope", { engine: address });
          await expect(second).rejects.toThrow(/Another broker on this machine.*held-scope.*--scope/);
        }
        await first.close();
        await startBroker("held-scope");
      });

      test("a snapshot that cannot be copied back fails the start, which leaves nothing behind", async () => {
        const scope = "unrestored";
        const first = await startBroker(scope);
        const { id } = await first.create("d14", STAY);
        const { snapshotId } = (await first.call("POST", `/v1/sandboxes/${id}/snapshot`)).body;
        await first.call("DELETE", `/v1/sandboxes/${id}`);
        await first.close();
        const cmd = ["sh", "-c", "rm -f /bin/cp /usr/bin/cp"];
        const maker = await engine.engine.createContainer({ Image: IMAGE, Cmd: cmd });
        await maker.start();
        await maker.wait();
        await maker.commit({ repo: "valet-no-cp" });
        const second = await startBroker(scope, { image: "valet-no-cp" });
        const request = createRequest("d14", STAY, { generation: 2, snapshotId });
        expect((await second.call("POST", "/v1/sandboxes", request)).body).toMatchObject({ code: "start_failed" });
        const labels = ["--filter", `label=valet-scope=${scope}`];
        expect(engine.run("volume", "ls", "--quiet", ...labels).trim()).toBe(snapshotId);
        expect(engine.run("ps", "--all", "--quiet", ...labels)).toBe("");
      });

      test("files of a snapshot belong to the same users in an image whose users have other numbers", async () => {
        const makeImage = (image: string, agent: number, runner: number) => {
          const users = { valet: agent, "valet-runner": runner };
          const lines = (line: (name: string, id: number) => string) =>
            Object.entries({ root: 0, ...users }).map(([name, id]) => `${line(name, id)}\n`);
          return engine.makeImage(image, {
            texts: {
              "/etc/passwd": lines((name, id) => `${name}:x:${id}:${id}::/:/bin/sh`).join(""),
              "/etc/group": lines((name, id) => `${name}:x:${id}:`).join(""),
              "/usr/local/bin/valet-entrypoint": readFileSync(
                new URL("../../image/valet-entrypoint", import.meta.url),
                "utf8",
              ),
              // In the place of the runner.
              "/usr/local/bin/bun": `#!/bin/bash
[ "$VALET_RESTORED" = 1 ] || { touch "$HOME/made" "$VALET_RUNNER_STATE/made" && chown -h valet "$HOME/made"; }
touch /tmp/started
exec sleep 600
  `,
            },
          });
        };
        await makeImage("valet-numbers", 1001, 1002);
        await makeImage("valet-other-numbers", 1000, 1001);
        const entrypoint = ["valet-entrypoint"] as [string];
        const first = await startBroker("numbers", { image: "valet-numbers", entrypoint });
        const { id } = await first.create("d20", STAY);
        await waitFor(() => inside(id, "ls /tmp/started"));
        const { snapshotId } = (await first.call("POST", `/v1/sandboxes/${id}/snapshot`)).body;
        await first.close();
        const second = await startBroker("numbers", { image: "valet-other-numbers", entrypoint });
        const restored = await second.create("d20", STAY, { generation: 2, snapshotId });
        await waitFor(() => inside(restored.id, "ls /tmp/started"));
        const owners = "cd /sandbox && stat -c '%n %U:%G' home home/made workspace agent runner runner/made";
        expect(inside(restored.id, owners).trim().split("\n")).toEqual([
          "home valet:valet",
          "home/made valet:valet",
          "workspace valet:valet",
          "agent valet-runner:valet-runner",
          "runner valet-runner:valet-runner",
          "runner/made valet-runner:valet-runner",
        ]);
      }, 120_000);
    }
  },
);

/** Passes bytes on between a port and an engine's socket, until it hangs: then connections are accepted, and nothing more happens. */
async function startPassage(socketPath: string) {
  let isHung = false;
  const server = createServer((client) => {
    client.on("error", () => {});
    onTestFinished(() => void client.destroy());
    if (isHung) return;
    const engine = connect(socketPath).on("error", () => client.destroy());
    client.on("data", (chunk) => void (isHung || engine.write(chunk))).once("close", () => engine.destroy());
    engine.on("data", (chunk) => void (isHung || client.write(chunk))).once("close", () => isHung || client.end());
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  onTestFinished(() => void server.close());
  return {
    host: `tcp://127.0.0.1:${(server.address() as AddressInfo).port}`,
    hang: () => {
      isHung = true;
    },
  };
}
