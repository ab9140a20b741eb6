"""The kernels in C++, fast on a CPU: src/ has the library, this folder what plays it from Python."""
