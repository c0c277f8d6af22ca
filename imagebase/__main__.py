"""python -m imagebase …"""

from imagebase.cli import main

if __name__ == "__main__":
    main()
