import { combinedForWorkers, type WorkerSettings } from "./config.ts";
import { nested, valueAt } from "./dotted.ts";
import { rows } from "./table.ts";

/** Returns the part of a configuration that workers read, to be sent to them. */
export function workerSettings(config: WorkerSettings): WorkerSettings {
  return nested(keys.map((key) => [key, valueAt(config, key)])) as unknown as WorkerSettings;
}

const keys: readonly string[] = [
  ...rows.flatMap(([, { config }]) => config?.readers.includes("worker") ? [config.key] : []),
  ...combinedForWorkers,
];
