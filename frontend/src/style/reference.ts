const SIDE = 512; // pixels; the server looks at half of it, and takes bodies of 256 KiB

/** Give the size to which a picture is made smaller, of the same shape as far as pixels allow. */
export function smallSize(width: number, height: number): { width: number; height: number } {
  const scale = Math.min(1, SIDE / Math.max(width, height));
  const side = (whole: number): number => Math.max(1, Math.round(whole * scale));
  return { width: side(width), height: side(height) };
}

/** Make a JPEG of a picture file that is small enough to send. Throws for what is no picture. */
export async function smallCopy(picture: Blob): Promise<Blob> {
  const bitmap = await createImageBitmap(picture);
  const { width, height } = smallSize(bitmap.width, bitmap.height);
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d");
  if (!context) throw new Error("no canvas");
  context.fillStyle = "white"; // behind what is transparent
  context.fillRect(0, 0, width, height);
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, width, height);
  bitmap.close();
  return canvas.convertToBlob({ type: "image/jpeg", quality: 0.92 });
}
