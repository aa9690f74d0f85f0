import { combinedForWorkers, type WorkerSettings } from "./config.ts";
import { nested, valueAt } from "./dotted.ts";
import { rows } from "./table.ts";

/** What workers read of a configuration, to be sent to them. */
export function workerSettings(config: WorkerSettings): WorkerSettings {
  return nested(keys.map((key) => [key, valueAt(config, key)])) as unknown as WorkerSettings;
}

const keys: readonly string[] = [
  ...rows.flatMap(([, { config }]) => config?.readers.includes("worker") ? [config.key] : []),
  ...combinedForWorkers,
];
