import { fileURLToPath } from "node:url";

import tailwindcss from "@tailwindcss/vite";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

export default defineConfig({
  plugins: [react(), tailwindcss()],
  resolve: { alias: { "@": fileURLToPath(new URL("./src", import.meta.url)) } },
  build: { target: "es2022", assetsInlineLimit: 0 },
  // `make run` in one terminal, `npm run dev` in another
  server: { proxy: { "/api": "http://127.0.0.1:8000" } },
  test: { environment: "happy-dom" },
});
