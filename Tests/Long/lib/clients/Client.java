import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.net.URL;

/** Reads lines "NAME PORT", and prints what a program of Java sees. */
public class Client {
  public static void main(String[] arguments) throws Exception {
    var lines = new BufferedReader(new InputStreamReader(System.in));
    for (String line = lines.readLine(); line != null; line = lines.readLine()) {
      try (var answer = new URL("http://" + line.replace(' ', ':') + "/").openStream()) {
        answer.readAllBytes();
        System.out.println("connected");
      } catch (Exception failure) {
        System.out.println(failure);
      }
    }
  }
}
