export { loadScenario, parseScenario, type Scenario, ScenarioError } from "./scenario.ts";
export {
  type RecordedRequest,
  type ScriptedModel,
  type ScriptedModelOptions,
  startScriptedModel,
} from "./server.ts";
export { demoMessages, demoRepository, loadShippedScenario, type ShippedScenario } from "./shipped.ts";
