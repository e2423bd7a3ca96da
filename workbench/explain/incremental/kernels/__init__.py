"""Where the time goes: convolution and the moving of pixels."""
