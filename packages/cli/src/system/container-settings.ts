/** Which engine and image a host's containers have, by its environment. Pure. */
import { BROKER_VARIABLES } from "@valet/shared/variables";

export interface ContainerSettings {
  /** As in `DOCKER_HOST`; `undefined` for the usual one. */
  readonly engine: string | undefined;
  readonly image: string;
  /** `undefined` for one of the system's own. */
  readonly network: string | undefined;
}

/** Returns the settings of the driver `docker` in an environment. */
export function containerSettings(env: Readonly<Record<string, string | undefined>>): ContainerSettings {
  return {
    engine: env.DOCKER_HOST || undefined,
    image: env.VALET_DOCKER_IMAGE || BROKER_VARIABLES.VALET_DOCKER_IMAGE.default,
    network: env.VALET_DOCKER_NETWORK || undefined,
  };
}
