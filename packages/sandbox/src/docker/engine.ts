/** The connection to a container engine that speaks the Docker Engine API: Docker itself, or Podman's service. */
import { readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import Docker from "dockerode";
import { limitCalls } from "./call-limits.ts";

export type Engine = Docker;

/**
 * Returns a client of the engine, each of whose calls has a time limit. Does not connect yet.
 * @param host `unix:///run/podman/podman.sock` or `tcp://…`; if omitted, the value of `DOCKER_HOST`, which may be `ssh://…`, too, or
 * else Docker's usual socket. With `tcp://…` the variables `DOCKER_TLS_VERIFY` and `DOCKER_CERT_PATH` count as they do for Docker's command.
 * @param limitMs how long the engine may take for any call; longer for some if omitted
 * @throws Error if it cannot be an engine's address
 */
export function connectEngine(host?: string, limitMs?: number): Engine {
  const engine = clientOf(host);
  limitCalls(engine, limitMs);
  return engine;
}

function clientOf(host = process.env.DOCKER_HOST): Engine {
  if (!host || (host === process.env.DOCKER_HOST && host.startsWith("ssh:"))) return new Docker();
  const url = URL.parse(host);
  // The client takes from DOCKER_HOST what it is not given here.
  if (url?.protocol === "unix:") return new Docker({ host: "", socketPath: url.pathname });
  if (url?.protocol === "tcp:" || url?.protocol === "http:") {
    const tls = tlsOptions();
    const [protocol, port] = tls === undefined ? (["http", 2375] as const) : (["https", 2376] as const);
    return new Docker({ protocol, host: url.hostname, port: url.port || port, ...tls });
  }
  throw new Error("The engine's address (DOCKER_HOST) must be unix:///path or tcp://host:port");
}

/**
 * Returns the certificates for an engine behind TLS, which are found as Docker's command finds them; `undefined` without TLS.
 * @throws Error if they cannot be read
 */
function tlsOptions(): { ca: Buffer; cert: Buffer; key: Buffer } | undefined {
  const { DOCKER_TLS_VERIFY, DOCKER_CERT_PATH } = process.env;
  if (!DOCKER_TLS_VERIFY) return undefined;
  const folder = DOCKER_CERT_PATH || join(homedir(), ".docker");
  try {
    const [ca, cert, key] = ["ca", "cert", "key"].map((name) => readFileSync(join(folder, `${name}.pem`)));
    return { ca, cert, key } as { ca: Buffer; cert: Buffer; key: Buffer };
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new Error(
      `The certificates of the container engine cannot be read (${code}): DOCKER_TLS_VERIFY needs ca.pem, cert.pem and key.pem in DOCKER_CERT_PATH`,
    );
  }
}

/** @throws Error that says what to do, if the engine does not answer */
export async function requireEngine(engine: Engine): Promise<void> {
  try {
    await engine.ping();
  } catch (error) {
    throw new Error(`The container engine cannot be reached: ${describeEngineError(error)}. ${remedyFor(error)}`, {
      cause: error,
    });
  }
}

/** Errors of connections that were made, and on which one side did not understand or trust the other. */
const MISUNDERSTOOD = /CERT|TLS|SSL|SIGNATURE|EPROTO|HPE_|ECONNRESET/;

/** Returns what to do about an engine that does not answer. */
function remedyFor(error: unknown): string {
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  if (statusOf(error) !== undefined || MISUNDERSTOOD.test(code ?? "")) {
    return "Something is there: check DOCKER_HOST and, if the engine wants TLS, DOCKER_TLS_VERIFY and DOCKER_CERT_PATH";
  }
  if (code === "EACCES") {
    return "This user may not use it: run the command as root or as a member of the group `docker`, or set DOCKER_HOST to an engine that this user may use";
  }
  return "Install and start Docker, or run `podman system service --time 0 unix:///run/podman/podman.sock` as root and set DOCKER_HOST to that address";
}

/** Returns whether the engine answers at all. */
export async function answers(engine: Engine): Promise<boolean> {
  return engine.ping().then(
    () => true,
    () => false,
  );
}

/** Returns the text for an image that the engine does not have. */
export function imageMissing(image: string): string {
  return `the engine has no image ${image}; make it with \`valet image build\``;
}

export async function hasImage(engine: Engine, image: string): Promise<boolean> {
  return (await unlessMissing(engine.getImage(image).inspect())) !== undefined;
}

/** Returns `undefined` for what the engine does not have (404). */
export async function unlessMissing<T>(call: Promise<T>): Promise<T | undefined> {
  try {
    return await call;
  } catch (error) {
    if (statusOf(error) === 404) return undefined;
    throw error;
  }
}

/** Returns the HTTP status of an engine's refusal. */
export function statusOf(error: unknown): number | undefined {
  const status = (error as { statusCode?: unknown } | undefined)?.statusCode;
  return typeof status === "number" ? status : undefined;
}

/** Describes an error without the engine's own text, which may quote variables. */
export function describeEngineError(error: unknown): string {
  const status = statusOf(error);
  if (status !== undefined) return `the engine answered ${status}`;
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  if (typeof code === "string") return `the engine does not answer (${code})`;
  return error instanceof Error ? error.constructor.name : "unknown error";
}
