"""Every message and body that people and programs send or receive. TypeScript is made from it."""
