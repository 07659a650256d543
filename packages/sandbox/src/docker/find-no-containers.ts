/** Finds out whether sandboxes could start in containers, without starting anything. */
import { connectEngine, describeEngineError, hasImage, imageMissing, requireEngine } from "./engine.ts";

/** What is missing, and what to do. */
export interface NoContainers {
  readonly what: "engine" | "image";
  readonly reason: string;
}

/** How long the engine may take for an answer. */
const SILENCE_MS = 5000;

/**
 * Returns what is missing for sandboxes in containers; `undefined` if the engine answers and has the image. Never rejects.
 * @param host the engine's address, as in `DOCKER_HOST`; that variable's value, or else Docker's usual socket, if omitted
 */
export async function findNoContainers(
  host: string | undefined,
  image: string,
  silenceMs = SILENCE_MS,
): Promise<NoContainers | undefined> {
  try {
    const engine = connectEngine(host, silenceMs);
    await requireEngine(engine);
    try {
      return (await hasImage(engine, image)) ? undefined : { what: "image", reason: imageMissing(image) };
    } catch (error) {
      return { what: "engine", reason: `the container engine cannot be used: ${describeEngineError(error)}` };
    }
  } catch (error) {
    return { what: "engine", reason: (error as Error).message };
  }
}
