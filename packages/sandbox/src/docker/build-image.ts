/** Builds the image of sandboxes by the engine, from this checkout and `image/Dockerfile`. */
import { join } from "node:path";
import { pack } from "tar-fs";
import { connectEngine, describeEngineError, requireEngine } from "./engine.ts";
import { CONTEXT, hashSource, isLeftOut, SOURCE_LABEL } from "./image-source.ts";

const DOCKERFILE = "packages/sandbox/image/Dockerfile";
/** The default name of the image. */
export const SANDBOX_IMAGE = "valet-sandbox";

export interface BuildImageOptions {
  /** The root of the checkout. */
  readonly root: string;
  /** The engine's address, as in `DOCKER_HOST`; that variable's value, or else Docker's usual socket, if omitted. */
  readonly engine?: string | undefined;
  readonly tag: string;
  /** The image to begin with: one with Node and npm. The Dockerfile's own if omitted. */
  readonly base?: string | undefined;
  /** Receives what the engine says of the build, line by line. */
  readonly onLine: (line: string) => void;
}

/** Part of the engine's answer, one JSON object each. */
interface BuildNews {
  readonly stream?: string;
  readonly status?: string;
  readonly error?: string;
}

const OWNER_EXECUTES = 0o100;
/** Returns a mode by which everybody may read a file, and enter a folder or run a program. */
function readable(mode: number): number {
  return mode | (mode & OWNER_EXECUTES ? 0o555 : 0o444);
}

function sourceOf(root: string): string {
  try {
    return hashSource(root);
  } catch (error) {
    throw new Error(`The image cannot be built: ${(error as Error).message}`, { cause: error });
  }
}

/** @throws Error that says what failed, if the engine cannot be reached or the build fails */
export async function buildImage({ root, engine: host, tag, base, onLine }: BuildImageOptions): Promise<void> {
  const engine = connectEngine(host);
  await requireEngine(engine);
  const source = sourceOf(root);
  const context = pack(root, {
    entries: CONTEXT,
    ignore: (path) => isLeftOut(path.slice(join(root, "/").length)),
    // Of nobody in particular, as in a build by hand; readable by the agent's user, whatever the umask was here.
    map: (header) => ({ ...header, uid: 0, gid: 0, mode: readable(header.mode ?? 0) }),
  });
  let failure: string | undefined;
  const unreadable = new AbortController();
  context.once("error", (error) => {
    failure ??= error.message;
    unreadable.abort(error);
  });
  let answer: NodeJS.ReadableStream;
  try {
    answer = await engine.buildImage(context, {
      dockerfile: DOCKERFILE,
      t: tag,
      labels: { [SOURCE_LABEL]: source },
      // Docker leaves the container of a step that failed otherwise.
      forcerm: true,
      abortSignal: unreadable.signal,
      ...(base !== undefined && { buildargs: { BASE: base } }),
    });
  } catch (error) {
    throw new Error(`The image cannot be built: ${failure ?? describeEngineError(error)}`, { cause: error });
  }
  await new Promise<void>((resolve, reject) => {
    engine.modem.followProgress(
      answer,
      (error) => (error === null ? resolve() : reject(error)),
      ({ stream, status, error }: BuildNews) => {
        failure ??= error;
        for (const line of (stream ?? status ?? "").split("\n")) if (line.trim() !== "") onLine(line.trimEnd());
      },
    );
  }).catch((error: Error) => {
    failure ??= error.message;
  });
  if (failure !== undefined) throw new Error(`The image cannot be built: ${failure.trim()}`);
}
