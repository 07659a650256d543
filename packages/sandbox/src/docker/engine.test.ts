/** Tests how Valet reaches a container engine, and what it tells the user if it cannot use one. */
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer as createHttpServer } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { expect, onTestFinished, test, vi } from "vitest";
import { runProgram, temporaryFolder } from "../../test/broker.ts";
import { answers, connectEngine } from "./engine.ts";

const ARGUMENTS = ["--driver", "docker", "--image", "none", "--scope", "unusable", "--", "true"];
const NOBODY = 65_534;

/** Returns what the broker's program says when it ends at its start. */
async function startWith(env: Record<string, string>, user?: number): Promise<string> {
  // That user's home cannot hold Node.js's cache.
  const program = runProgram(ARGUMENTS, { NODE_COMPILE_CACHE: "", ...env }, user);
  if (program.stderr === null) throw new Error("no output");
  const [said, [code]] = await Promise.all([text(program.stderr), once(program, "exit")]);
  expect(code).toBe(2);
  return said;
}

test("an engine that is not there: install one, or start Podman's service", async () => {
  expect(await startWith({ DOCKER_HOST: "unix:///nonexistent/engine.sock" })).toMatch(
    /cannot be reached: .*ENOENT.*Install and start Docker, or run `podman system service .*` as root and set DOCKER_HOST/,
  );
});

test.skipIf(process.getuid?.() !== 0)("an engine that this user may not use: be root, or in its group", async () => {
  const socket = join(temporaryFolder(), "engine.sock");
  const server = createServer();
  await once(server.listen(socket), "listening");
  onTestFinished(() => void server.close());
  const said = await startWith({ DOCKER_HOST: `unix://${socket}` }, NOBODY);
  expect(said).toMatch(/cannot be reached: .*EACCES.*as root or as a member of the group `docker`/);
  expect(said).not.toContain("Install");
});

test("what answers otherwise than an engine: check the address", async () => {
  const server = createHttpServer((_, response) =>
    response.writeHead(400).end("Client sent an HTTP request to an HTTPS server."),
  );
  await once(server.listen(0, "127.0.0.1"), "listening");
  onTestFinished(() => void server.close());
  const said = await startWith({ DOCKER_HOST: `tcp://127.0.0.1:${(server.address() as AddressInfo).port}` });
  expect(said).toMatch(/cannot be reached: the engine answered 400\. Something is there: check DOCKER_HOST/);
});

test("a socket that is named counts, and not the variable", async () => {
  const socket = join(temporaryFolder(), "engine.sock");
  const server = createHttpServer((_, response) => response.end("OK"));
  await once(server.listen(socket), "listening");
  onTestFinished(() => void server.close());
  vi.stubEnv("DOCKER_HOST", "tcp://127.0.0.1:1");
  onTestFinished(() => void vi.unstubAllEnvs());
  expect(await answers(connectEngine(`unix://${socket}`))).toBe(true);
  expect(await answers(connectEngine())).toBe(false);
});

/** Makes a certificate for this machine, which is its own authority. @returns the folder, with the names of Docker's command */
function makeCertificate(): string {
  const folder = temporaryFolder();
  const names = ["-keyout", join(folder, "key.pem"), "-out", join(folder, "cert.pem"), "-subj", "/CN=127.0.0.1"];
  const kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"];
  execFileSync("openssl", ["req", ...kind, ...names, "-addext", "subjectAltName=IP:127.0.0.1"], { stdio: "ignore" });
  execFileSync("cp", [join(folder, "cert.pem"), join(folder, "ca.pem")]);
  return folder;
}

test("with TLS Valet reads the certificates that Docker's command would read, and tells the user if it cannot", async () => {
  const folder = makeCertificate();
  const [key, cert] = ["key", "cert"].map((name) => readFileSync(join(folder, `${name}.pem`)));
  const options = { key, cert, ca: cert, requestCert: true, rejectUnauthorized: true };
  const server = createHttpsServer(options, (_, response) => response.end("OK"));
  await once(server.listen(0, "127.0.0.1"), "listening");
  onTestFinished(() => void server.close());
  const host = `tcp://127.0.0.1:${(server.address() as AddressInfo).port}`;
  expect(await answers(connectEngine(host))).toBe(false);
  onTestFinished(() => void vi.unstubAllEnvs());
  vi.stubEnv("DOCKER_TLS_VERIFY", "1");
  vi.stubEnv("DOCKER_CERT_PATH", folder);
  expect(await answers(connectEngine(host))).toBe(true);
  const withOthers = { DOCKER_TLS_VERIFY: "1", DOCKER_CERT_PATH: makeCertificate() };
  for (const variables of [{}, withOthers]) {
    expect(await startWith({ DOCKER_HOST: host, ...variables })).toMatch(
      /cannot be reached: .*Something is there: check DOCKER_HOST and, .* DOCKER_CERT_PATH/,
    );
  }
  const said = await startWith({ DOCKER_HOST: host, DOCKER_TLS_VERIFY: "1", DOCKER_CERT_PATH: temporaryFolder() });
  expect(said).toMatch(/certificates of the container engine cannot be read .*ENOENT.*DOCKER_CERT_PATH/);
});
