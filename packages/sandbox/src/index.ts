export {
  type ModalBrokerOptions,
  type SandboxBroker,
  type SandboxBrokerOptions,
  startModalBroker,
  startSandboxBroker,
} from "./broker.ts";
export { identify, isAlive, type ProcessIdentity } from "./local/process-table.ts";
