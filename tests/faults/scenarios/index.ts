/** All scenarios, in the order of their execution. */
import { hostile } from "../hostile/index.ts";
import type { Scenario } from "../scenario.ts";
import { backends } from "./backends.ts";
import { master } from "./master.ts";
import { reload } from "./reload.ts";
import { resources } from "./resources.ts";
import { workers } from "./workers.ts";

export const scenarios: readonly Scenario[] = [
  ...reload,
  ...workers,
  ...master,
  ...backends,
  ...resources,
  ...hostile,
];
