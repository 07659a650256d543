/** Checks the container engine where sandboxes are containers. */
import { type Finding, SHELL } from "./check-telemetry.ts";
import { CHECKOUT } from "./checkout.ts";
import { containerSettings } from "./system/container-settings.ts";
import type { Uses } from "./system/state.ts";

const ENGINE = "container engine";
const IMAGE = "sandbox image";

/**
 * Returns nothing where neither the running host nor this shell's environment (`VALET_BROKER_DRIVER`) has the driver `docker`.
 * @param uses settings of the running host, if one runs and reports them
 */
export async function checkEngine(
  uses: Uses | null | undefined,
  env: Readonly<Record<string, string | undefined>>,
): Promise<Finding[]> {
  const shell = env.VALET_BROKER_DRIVER === "docker" ? containerSettings(env) : undefined;
  const { engine, image } = uses?.containers ?? shell ?? {};
  if (image === undefined) return [];
  const source = uses?.containers === undefined ? SHELL : "the running host";
  // Loaded here, since the engine's library is large, and other drivers do not need it.
  const { findNoContainers } = await import("@valet/sandbox/containers");
  const missing = await findNoContainers(engine ?? undefined, image, CHECKOUT);
  if (missing?.what === "engine") return [{ name: ENGINE, state: "missing", detail: missing.reason, source }];
  const answers: Finding = { name: ENGINE, state: "ok", detail: `${engine ?? "the usual one"} answers`, source };
  if (missing?.what === "version") return [answers, { name: IMAGE, state: "note", detail: missing.reason, source }];
  if (missing !== undefined) return [answers, { name: IMAGE, state: "missing", detail: missing.reason, source }];
  return [answers, { name: IMAGE, state: "ok", detail: `the engine has ${image}`, source }];
}
