# Any CPU:      docker build -t puppet .
# NVIDIA GPU:   docker build -t puppet-cuda --build-arg VARIANT=cuda .
# The page uses one TCP port, and all media one UDP port; README.md says how to run it.
FROM python:3.11-slim

ARG VARIANT=cpu
WORKDIR /puppet
COPY requirements.txt .

# OpenCV needs libgl1 and libglib2.0-0, and Triton a C compiler. Without a GPU, PyTorch (5 GB) is not needed.
RUN set -e; \
    case "$VARIANT" in \
        cpu) compiler=; sed -i -E '/^(torch|cuda-python)==/d' requirements.txt ;; \
        cuda) compiler="gcc libc6-dev" ;; \
        *) echo "VARIANT is cpu or cuda, not $VARIANT."; exit 1 ;; \
    esac; \
    apt-get update; \
    apt-get install -y --no-install-recommends libgl1 libglib2.0-0 $compiler; \
    rm -rf /var/lib/apt/lists/*; \
    pip install --no-cache-dir -r requirements.txt

COPY . .
ENV PUPPET_CACHE=/cache
RUN useradd --create-home puppet && mkdir /cache && chown puppet /cache
USER puppet
RUN python run.py weights fetch

EXPOSE 7860/tcp 40000/udp
ENTRYPOINT ["python", "run.py", "serve", "--host", "0.0.0.0", "--media-address", "0.0.0.0", "--media-ports", "40000"]
CMD ["--advertise-address", "127.0.0.1"]
