/** Finds out whether sandboxes could start in containers, without starting anything. */
import { connectEngine, describeEngineError, hasImage, imageMissing, requireEngine } from "./engine.ts";
import { findOldImage } from "./image-source.ts";

/** What is missing, and what to do. */
export interface NoContainers {
  readonly what: "engine" | "image" | "version";
  readonly reason: string;
}

/** How long the engine may take for any call. */
const LIMIT_MS = 5000;

/**
 * Returns what is missing for sandboxes in containers; `undefined` if the engine answers and has the image. Never rejects. `version` says
 * that the image is of other sources than the checkout's, and may do all the same.
 * @param host the engine's address, as in `DOCKER_HOST`; that variable's value, or else Docker's usual socket, if omitted
 * @param root of the checkout
 */
export async function findNoContainers(
  host: string | undefined,
  image: string,
  root: string,
  limitMs = LIMIT_MS,
): Promise<NoContainers | undefined> {
  try {
    const engine = connectEngine(host, limitMs);
    await requireEngine(engine);
    try {
      if (!(await hasImage(engine, image))) return { what: "image", reason: imageMissing(image) };
      const reason = await findOldImage(engine, image, root);
      return reason === undefined ? undefined : { what: "version", reason };
    } catch (error) {
      return { what: "engine", reason: `the container engine cannot be used: ${describeEngineError(error)}` };
    }
  } catch (error) {
    return { what: "engine", reason: (error as Error).message };
  }
}
