import { fileURLToPath } from "node:url";

import tailwindcss from "@tailwindcss/vite";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

export default defineConfig({
  plugins: [react(), tailwindcss()],
  resolve: {
    alias: {
      "@overlay": fileURLToPath(new URL("../server/overlay", import.meta.url)), // shared with the overlay
      "@": fileURLToPath(new URL("./src", import.meta.url)),
    },
  },
  build: { target: "es2022", assetsInlineLimit: 0 },
  // `make run` in one terminal, `npm run dev` in another
  server: { proxy: { "/api": "http://127.0.0.1:8000" }, fs: { allow: ["..", "../server/overlay"] } },
  test: { environment: "happy-dom" },
});
