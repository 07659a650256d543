/** Tests a wall with a network of its own, with the real slirp4netns. Where the machine allows none, they are skipped, and say so. */
import { type SpawnSyncReturns, spawn, spawnSync } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { closeSync, existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, realpathSync, rmSync } from "node:fs";
import { createServer as createHttpServer } from "node:http";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { relayProgram } from "../installed-files.ts";
import { Bubblewrap } from "./bubblewrap.ts";
import { OwnNetwork } from "./own-network.ts";
import { WallError } from "./wall.ts";

const PATH = "/usr/local/bin:/usr/bin:/bin";
const isPossible =
  existsSync("/usr/bin/slirp4netns") &&
  mayOpen("/dev/net/tun") &&
  spawnSync("bwrap", ["--unshare-user", "--unshare-net", "--ro-bind", "/", "/", "true"]).status === 0;
/** An address of this machine at which other machines reach it. */
const outer = Object.values(networkInterfaces())
  .flatMap((each) => each ?? [])
  .find(({ family, internal }) => family === "IPv4" && !internal)?.address;

function mayOpen(path: string): boolean {
  try {
    closeSync(openSync(path, "r+"));
    return true;
  } catch {
    return false;
  }
}

async function listen(server: Server, host: string): Promise<number> {
  server.listen(0, host);
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

describe.skipIf(!isPossible)("a wall with a network of its own (skipped where there is no slirp4netns)", () => {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), "valet-network-")));
  const workspace = join(folder, "workspace");
  // Longer than an address of a Unix socket may be.
  const sockets = join(folder, "n".repeat(100), "network");
  mkdirSync(workspace);
  const network = new OwnNetwork({ folder: sockets, relays: relayProgram() });
  const wall = new Bubblewrap({ own: [workspace], readable: [], home: workspace, path: PATH, network });
  /** Servers of this machine: one that the agent needs, two that it does not, and one that other machines reach. */
  const servers = ["needed", "other", "outer", "late"].map((name) =>
    createHttpServer((request, response) => {
      request.resume().on("end", () => response.end(`${name} ${request.url}`));
    }),
  );
  let ports: { needed: number; other: number; outer: number };

  beforeAll(async () => {
    const [needed = 0, other = 0] = await Promise.all(servers.slice(0, 2).map((each) => listen(each, "127.0.0.1")));
    ports = { needed, other, outer: await listen(servers[2] as Server, outer ?? "127.0.0.1") };
    wall.expose(`http://localhost:${needed}/v1`);
  });

  afterAll(async () => {
    await wall.close();
    for (const each of servers) each.close();
    rmSync(folder, { recursive: true });
  });

  const sh = async (script: string): Promise<SpawnSyncReturns<string>> => {
    const { command, cwd } = await wall.enter(["/bin/sh", "-c", script], workspace);
    // Asynchronously, since the servers are in this process.
    const child = spawn(command[0], command.slice(1), { cwd, env: { PATH }, detached: true });
    let [stdout, stderr] = ["", ""];
    child.stdout.on("data", (chunk) => {
      stdout += chunk;
    });
    child.stderr.on("data", (chunk) => {
      stderr += chunk;
    });
    const [status] = await once(child, "close");
    return { stdout, stderr, status } as SpawnSyncReturns<string>;
  };
  const get = (url: string) => `curl -s --max-time 4 --noproxy '*' ${url} || echo none`;

  test("of the machine's loopback only what is exposed answers, by each of its names", async () => {
    const { stdout } = await sh(
      [
        ...["127.0.0.1", "localhost"].map((host) => get(`http://${host}:${ports.needed}/a`)),
        ...["127.0.0.1", "localhost", "198.18.255.2", "0.0.0.0"].map((host) => get(`http://${host}:${ports.other}/a`)),
      ].join("; "),
    );
    expect(stdout).toBe(`needed /aneeded /a${"none\n".repeat(4)}`);
  });

  test.skipIf(outer === undefined)(
    "other machines' addresses can be reached, but not those of a cloud's metadata",
    async () => {
      const { stdout } = await sh(
        [
          get(`http://${outer}:${ports.outer}/b`),
          "ip route get 169.254.169.254 2>&1",
          "ip route get 100.100.100.200 2>&1",
        ].join("; echo; "),
      );
      expect(stdout).toMatch(/^outer \/b\n.*No route to host\n+.*No route to host/i);
    },
  );

  test("a socket that is bound to the network's device does not reach the machine's loopback interface either", async () => {
    const received: string[] = [];
    const datagrams = createSocket("udp4").on("message", (message) => received.push(String(message)));
    const connections = createServer((socket) => received.push("tcp") && socket.destroy());
    onTestFinished(() => {
      datagrams.close();
      connections.close();
    });
    datagrams.bind(0);
    await once(datagrams, "listening");
    const tcp = await listen(connections, "127.0.0.1");
    const send = (host: string) =>
      `socket(my $s, PF_INET, SOCK_DGRAM, 0); setsockopt($s, SOL_SOCKET, 25, "tap0\\0") or die; send($s, "${host}", 0, sockaddr_in(${datagrams.address().port}, inet_aton("${host}")));`;
    const hosts = ["127.0.0.1", "127.1.2.3", "0.0.0.0", "198.18.255.2", ...(outer === undefined ? [] : [outer])];
    const connect = hosts
      .filter((host) => host !== outer)
      .map((host) => `curl -s --noproxy '*' --max-time 2 --interface 'if!tap0' http://${host}:${tcp}/ & `);
    await sh(`${connect.join("")} perl -MSocket -e '${hosts.map(send).join(" ")}'; wait`);
    // What may be reached shows that a bound socket sends at all.
    await expect.poll(() => received).toEqual(outer === undefined ? [] : [outer]);
  });

  test("names are resolved by the network's own server, with the machine's search list", async () => {
    const { stdout } = await sh("cat /etc/resolv.conf");
    expect(stdout).toMatch(/^nameserver 198\.18\.255\.3\n/);
    expect(stdout.match(/nameserver/g)).toHaveLength(1);
  });

  test("abstract sockets of the machine are not there, and nobody behind the wall may change the network", async () => {
    const abstract = createServer((socket) => socket.end("reached")).listen({ path: "\0valet-abstract" });
    await once(abstract, "listening");
    const { stdout } = await sh(
      "cat /proc/net/unix; ip route del unreachable 169.254.0.0/16 && echo changed; ip link set lo down && echo changed; true",
    );
    expect(readFileSync("/proc/net/unix", "utf8")).toContain("@valet-abstract");
    abstract.close();
    expect(stdout).not.toMatch(/valet-abstract|changed/);
  });

  test("the runner reaches a server behind the wall, which the machine does not", async () => {
    await sh(
      '(perl -MIO::Socket::INET -e \'$s=IO::Socket::INET->new(Listen=>9,LocalAddr=>"127.0.0.1",LocalPort=>3000,ReuseAddr=>1); while($c=$s->accept){<$c>;print $c "HTTP/1.0 200 OK\\r\\n\\r\\ninside";close $c}\' >/dev/null 2>&1 &) ; sleep 0.3',
    );
    const socket = await wall.reach(3000);
    const reached = async () => (await fetch("http://127.0.0.1:3000/", { unix: socket } as RequestInit)).text();
    await expect.poll(reached, { timeout: 10_000 }).toBe("inside");
    await expect(fetch("http://127.0.0.1:3000/")).rejects.toThrow();
  });

  test("large bodies pass in both directions, and so do many connections at once", async () => {
    const { stdout } = await sh(
      `head -c 3000000 /dev/zero | curl -s --noproxy '*' --data-binary @- http://127.0.0.1:${ports.needed}/c; seq 60 | xargs -P 30 -I{} curl -s --noproxy '*' http://127.0.0.1:${ports.needed}/{} | tr -d 0-9`,
    );
    expect(stdout).toBe(`needed /c${"needed /".repeat(60)}`);
  });

  test.skipIf(outer === undefined)(
    "connections to other machines are bounded, and what is beyond is refused while the network goes on",
    async () => {
      const open: Socket[] = [];
      const server = createServer((socket) => open.push(socket.on("error", () => {})));
      onTestFinished(() => void server.close());
      const port = await listen(server, outer as string);
      const connect = `use IO::Socket::INET; my @open; for (1..1500) { my $s = IO::Socket::INET->new(PeerAddr => "${outer}", PeerPort => ${port}, Timeout => 20) or last; push @open, $s } print scalar @open`;
      const many = Number((await sh(`ulimit -n $(ulimit -H -n); perl -e '${connect}'`)).stdout);
      expect(many).toBeGreaterThan(900);
      expect(many).toBeLessThan(1024);
      await expect.poll(async () => (await sh(get(`http://${outer}:${ports.outer}/g`))).stdout).toBe("outer /g");
      for (const socket of open) socket.destroy();
    },
    60_000,
  );

  test("a server that is exposed later can be reached, and again when a part of the network has ended", async () => {
    wall.expose(`http://127.0.0.1:${ports.other}/`);
    expect((await sh(get(`http://127.0.0.1:${ports.other}/d`))).stdout).toBe("other /d");
    const ofWall = () =>
      spawnSync("pgrep", ["-f", `slirp4netns .* ${wall.firstPid} tap0`], { encoding: "utf8" }).stdout;
    const slirp = Number(ofWall());
    process.kill(slirp, "SIGKILL");
    // What was exposed answers until the runner has noticed.
    const isAnother = async () => {
      await sh("true").catch(() => undefined);
      return ![slirp, 0].includes(Number(ofWall()));
    };
    await expect.poll(isAnother, { timeout: 20_000 }).toBe(true);
    await expect
      .poll(async () => (await sh(get(`http://127.0.0.1:${ports.other}/e`)).catch(() => undefined))?.stdout, {
        timeout: 20_000,
      })
      .toBe("other /e");
  });

  test("a server whose address a program of the agent has taken can be reached once that program has ended", async () => {
    const port = await listen(servers[3] as Server, "127.0.0.1");
    const take = `$|=1; $s=IO::Socket::INET->new(Listen=>9,LocalAddr=>"127.0.0.1",LocalPort=>${port}); print "taken"; sleep 600`;
    const taken = "until grep -q taken state; do :; done; echo $! >taker; echo taken";
    expect((await sh(`perl -MIO::Socket::INET -e '${take}' >state 2>/dev/null & ${taken}`)).stdout).toBe("taken\n");
    wall.expose(`http://127.0.0.1:${port}/`);
    expect((await sh("kill $(cat taker); echo killed")).stdout).toBe("killed\n");
    await expect.poll(async () => (await sh(get(`http://127.0.0.1:${port}/f`))).stdout).toBe("late /f");
  });

  test("all of it ends with the wall", async () => {
    const { firstPid } = wall;
    const left = () => spawnSync("pgrep", ["-f", `${firstPid} tap0|${sockets}`], { encoding: "utf8" }).stdout;
    expect(left()).not.toBe("");
    await wall.close();
    await expect.poll(left, { timeout: 10_000 }).toBe("");
  });
});

/** Sets up a wall whose relays are another program. */
function setUpWith(relays: readonly [string, ...string[]], startTimeoutMs: number) {
  const folder = mkdtempSync(join(tmpdir(), "valet-network-"));
  const network = new OwnNetwork({ folder: join(folder, "network"), relays });
  const wall = new Bubblewrap({ own: [folder], readable: [], home: folder, path: PATH, network, startTimeoutMs });
  onTestFinished(async () => {
    await wall.close();
    rmSync(folder, { recursive: true });
  });
  /** Starts a program that may run before there is a network, and collects its output. */
  const start = async (script: string) => {
    const entered = await wall.enter(["/bin/sh", "-c", script], folder, { beforeNetwork: true });
    const child = spawn(entered.command[0], entered.command.slice(1), { cwd: entered.cwd, env: { PATH } });
    const output: string[] = [];
    child.stdout.on("data", (chunk) => output.push(String(chunk)));
    return { ended: once(child, "close"), output: () => output.join("") };
  };
  return { folder, wall, start };
}
/** Relays that never say that they are ready. */
const NEVER_READY = ["/bin/sh", "-c", "exec sleep 600"] as const;

test.skipIf(!isPossible)("of a network that does not become ready in time nothing is left", async () => {
  const { folder, wall } = setUpWith(NEVER_READY, 1_000);
  const ours = () => spawnSync("ps", ["--ppid", `${process.pid}`, "-o", "args="], { encoding: "utf8" }).stdout;
  await expect(wall.enter(["true"], folder)).rejects.toThrow(WallError);
  await expect.poll(ours, { timeout: 10_000 }).not.toMatch(/slirp4netns|sleep 600/);
});

test.skipIf(!isPossible)("two lines of the relays that arrive at once are both read", async () => {
  const marks = mkdtempSync(join(tmpdir(), "valet-network-"));
  onTestFinished(() => rmSync(marks, { recursive: true }));
  const written = join(marks, "written");
  const script = 'echo ready; : >"$1"; while read -r _; do echo ok; done';
  const { folder, wall } = setUpWith(["/bin/sh", "-c", script, "sh", written], 50_000);
  await wall.enter(["true"], folder, { beforeNetwork: true });
  // This process reads nothing until both have been written.
  for (const end = Date.now() + 40_000; !existsSync(written); ) if (Date.now() > end) throw new Error("not written");
  await wall.connected();
});

test.skipIf(!isPossible)(
  "a program that may start before its network has no other one, and ends if it cannot be connected",
  async () => {
    const { folder, wall, start } = setUpWith(NEVER_READY, 3_000);
    const program = await start("cat /proc/net/dev; echo started; exec sleep 600");
    await expect.poll(program.output).toContain("started");
    // Of the machine's network there is nothing, not even before slirp4netns has made its own.
    expect(
      program
        .output()
        .match(/^ *\w+:/gm)
        ?.map((each) => each.trim()),
    ).toEqual(
      expect.not.arrayContaining(
        Object.keys(networkInterfaces())
          .filter((name) => name !== "lo")
          .map((name) => `${name}:`),
      ),
    );
    expect(wall.freePort()).toBeGreaterThan(0);
    await expect(wall.connected()).rejects.toThrow(WallError);
    await program.ended;
    await expect(wall.enter(["true"], folder)).rejects.toThrow(WallError);
  },
);

test.skipIf(!isPossible)(
  "when there is a way to other machines, that to a cloud's metadata is closed already",
  async () => {
    const { wall, start } = setUpWith(relayProgram(), 10_000);
    const program = await start(
      "until ip route get 192.0.2.1 >/dev/null 2>&1; do :; done; ip route get 169.254.169.254 2>&1",
    );
    await program.ended;
    expect(program.output()).toMatch(/No route to host/);
    await wall.connected();
    expect(wall.freePort()).toBe(0);
  },
);
