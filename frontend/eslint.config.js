import { readdirSync } from "node:fs";

import { defineConfig } from "eslint/config";
import reactHooks from "eslint-plugin-react-hooks";
import tseslint from "typescript-eslint";

// shared folders: what each may import; every other folder is a feature
const SHARED = { api: [], ui: [], call: ["api"], style: ["api", "ui"] };
const folders = readdirSync("src", { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map((entry) => entry.name);

/** A feature may import the shared folders and itself, nothing else of ours. */
const boundaries = folders.map((folder) => {
  const allowed = SHARED[folder] ?? Object.keys(SHARED);
  return {
    files: [`src/${folder}/**/*.{ts,tsx}`],
    rules: {
      "no-restricted-imports": [
        "error",
        {
          patterns: [
            { group: ["../*"], message: "Reach other folders by @/folder/file." },
            {
              group: ["@/*", "!@/strings", "!@/store", ...allowed.map((name) => `!@/${name}`)],
              message: `${folder}/ may import ${[...allowed, "itself (./)"].join(", ")}.`,
            },
          ],
        },
      ],
    },
  };
});

export default defineConfig(
  { ignores: ["dist", "src/api/schema.gen.ts"] },
  tseslint.configs.strictTypeChecked,
  { languageOptions: { parserOptions: { projectService: true } } },
  { files: ["**/*.js"], extends: [tseslint.configs.disableTypeChecked] },
  {
    files: ["src/**/*.{ts,tsx}"],
    extends: [reactHooks.configs.flat.recommended],
    rules: {
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
      "@typescript-eslint/no-confusing-void-expression": ["error", { ignoreArrowShorthand: true }],
    },
  },
  boundaries,
);
