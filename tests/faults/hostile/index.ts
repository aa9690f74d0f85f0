/** All attacks of hostile clients, in the order of their execution. */
import type { Attack } from "./attack.ts";
import { broken } from "./broken.ts";
import { floods } from "./floods.ts";
import { fuzz } from "./fuzz.ts";
import { stuck } from "./stuck.ts";

export const hostile: readonly Attack[] = [stuck, ...broken, ...floods, ...fuzz];
