/** What is used of `@std/cli`, whose npm build ships no types. */
declare module "@std/cli/cli/parse_args.js" {
  export interface ParseOptions {
    /** Options whose values stay text; `_` stands for the words that are no options. */
    readonly string?: readonly string[];
    /** Called for each word that is none of these, with a name if it is an option; false drops it. */
    readonly unknown?: (word: string, name?: string) => boolean;
  }

  export function parseArgs(
    args: readonly string[],
    options?: ParseOptions,
  ): { readonly _: readonly string[]; readonly [name: string]: unknown };
}
